// The status strip: queue, nodes and model, asked now and then while the page is looked at.
import { getJson } from "./api.js";

const EVERY_MS = 5000;
const BUSY_EVERY_MS = 1500; // while somebody waits for results here
const UNKNOWN = "unknown";

const queue = (figures) => (figures ? `${figures.backlog} waiting, ${figures.in_flight} in work` : UNKNOWN);

function nodes(byState) {
  if (!byState) return UNKNOWN;
  const some = Object.entries(byState).filter(([, number]) => number > 0);
  return some.map(([state, number]) => `${number} ${state}`).join(", ") || "none";
}

export function watchStatus(strip, isBusy, onStatus) {
  const write = (name, text) => { strip.querySelector(`#strip-${name}`).textContent = text; };
  const show = (status) => {
    write("queue", queue(status.queue));
    write("nodes", nodes(status.nodes));
    write("model", status.model ?? UNKNOWN);
    strip.hidden = false;
    onStatus(status);
  };
  const unknown = () => { for (const name of ["queue", "nodes", "model"]) write(name, UNKNOWN); };
  const tick = async () => {
    if (!document.hidden) await getJson("status").then(show, unknown);
    setTimeout(tick, isBusy() ? BUSY_EVERY_MS : EVERY_MS);
  };
  tick();
}
