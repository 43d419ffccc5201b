// The batches that were last sent from this browser, so that a closed window is no lost one.
import { photos as inWords } from "./format.js";
import { root } from "./api.js";

const KEY = "batches";
const AT_MOST = 8;

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? [];
  } catch { // somebody else's text under our key, or no storage at all
    return [];
  }
}

export function remember(id, photos) {
  const others = read().filter((batch) => batch.id !== id);
  const sentAt = read().find((batch) => batch.id === id)?.sentAt ?? Date.now();
  localStorage.setItem(KEY, JSON.stringify([{ id, photos, sentAt }, ...others].slice(0, AT_MOST)));
}

export function forget() {
  localStorage.removeItem(KEY);
}

export function listRecent(section) {
  const batches = read();
  section.hidden = batches.length === 0;
  section.querySelector("ul").replaceChildren(...batches.map(({ id, photos, sentAt }) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `${root}batches/${id}`;
    link.textContent = inWords(photos);
    const when = new Date(sentAt).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    item.append(link, `, sent ${when}`);
    return item;
  }));
}
