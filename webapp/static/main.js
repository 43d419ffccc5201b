// The page: photos go out, labels come in. Puts the parts together; each of them is in a module of its own.
import { announce, notice, showLeftNotice } from "./notice.js";
import { arrange, labels } from "./arrange.js";
import { bytes, photos as photosInWords, summary } from "./format.js";
import { fromDrop, fromInput } from "./collect.js";
import { getFile, getJson, mayPass, root } from "./api.js";
import { Cards } from "./cards.js";
import { FAILURE, READY, Store, count } from "./store.js";
import { Live } from "./live.js";
import { Uploader } from "./upload.js";
import { forget, listRecent, remember } from "./recent.js";
import { offerReset } from "./reset.js";
import { offerShare } from "./share.js";
import { watchStatus } from "./strip.js";

const DRAW_MS = 80;
const AGAIN_MS = 2000;

const byId = (id) => document.getElementById(id);
const form = byId("form"), results = byId("results"), tools = byId("tools"), list = byId("photos");
const mayAdd = results.dataset.mayAdd === "yes";

const store = new Store();
const cards = new Cards(list, byId("blank"), root);
const takeResult = (result) => store.take({ ...result, mayRetry: mayAdd });
const live = new Live({
  onResult: takeResult,
  isWaiting: () => count(store.photos).waiting > count(store.photos).unsent,
  onProblem: notice,
});
const uploader = new Uploader({
  store,
  batchId: results.dataset.batch,
  limits: { maxFiles: Number(form.dataset.maxFiles), maxBytes: Number(form.dataset.maxBytes) },
  onBatch: enterBatch,
  onProgress: () => {
    // What was loaded meanwhile may have waited for this upload's end.
    if (!uploader.busy && results.dataset.batch) live.follow(results.dataset.batch);
    draw();
  },
});

// --- drawing: whatever has changed, a few times a second

const changed = new Set();
let drawing;
let nodes; // by state, if that is known

store.addEventListener("change", (event) => {
  changed.add(event.detail);
  draw();
});

function draw() {
  drawing ??= setTimeout(() => {
    drawing = undefined;
    changed.forEach((photo) => cards.show(photo));
    changed.clear();
    drawFigures(count(store.photos));
    drawOrder();
  }, DRAW_MS);
}

function drawFigures(counts) {
  if (!counts.photos) return;
  results.hidden = false;
  form.classList.add("compact");
  byId("recent").hidden = true;
  const done = counts.succeeded + counts.failed;
  byId("counts").textContent = summary(counts);
  byId("result-bar").value = done / counts.photos;
  byId("result-text").textContent = `${done} of ${counts.photos}`;
  byId("no-node").hidden = !(counts.waiting > counts.unsent && nodes && !nodes.ready);
  byId("retry-all").hidden = store.photos.filter(mayBeRetried).length < 2;
  drawUpload();
  const figures = { "": counts.photos, SUCCESS: counts.succeeded, WAITING: counts.waiting, FAILURE: counts.failed };
  for (const badge of tools.querySelectorAll("[data-count]")) badge.textContent = figures[badge.dataset.count];
  document.title = `${counts.waiting ? `${done}/${counts.photos}` : photosInWords(counts.photos)} · Photo classifier`;
  announce(uploader.busy ? byId("upload-text").textContent : summary(counts));
}

function drawUpload() {
  const { busy, bytes: all, sentBytes, busyForS } = uploader;
  byId("upload-row").hidden = !busy;
  byId("upload-bar").value = all ? sentBytes / all : 1;
  byId("upload-text").textContent = busyForS
    ? `The server is busy; going on in ${busyForS} s`
    : `Uploading: ${bytes(sentBytes)} of ${bytes(all)}`;
}

function drawOrder() {
  drawLabels();
  const shown = arrange(store.photos, Object.fromEntries(new FormData(tools)));
  cards.arrange(shown);
  byId("nothing").hidden = shown.length > 0 || !store.photos.length;
}

function drawLabels() {
  const select = tools.elements.label;
  const texts = labels(store.photos).map(([label, number]) => [label, `${label} (${number})`]);
  if (texts.map(String).join() === [...select.options].slice(1).map((option) => String([option.value, option.text])).join()) return;
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...texts.map(([label, text]) => new Option(text, label)));
  select.value = chosen;
  if (select.selectedIndex < 0) select.value = "";
}

tools.addEventListener("input", draw);
tools.addEventListener("submit", (event) => event.preventDefault());
byId("show-all").addEventListener("click", () => {
  tools.reset();
  tools.elements.text.focus();
  draw();
});

// Leads the keyboard to something that is no control.
function focus(element) {
  element.tabIndex = -1;
  element.focus();
}

// --- photos go out

function send(files) {
  if (!files.length || !mayAdd) return;
  notice("");
  uploader.send(files.map((file) => store.add({ file, name: file.name, mayRetry: true })));
  draw();
}

const mayBeRetried = (photo) => photo.state === FAILURE && photo.mayRetry;

async function retry(photos) {
  photos.forEach((photo) => store.change(photo, { state: READY, error: "" }));
  const found = await Promise.all(photos.map(hasFile));
  uploader.send(photos.filter((_, place) => found[place]));
}

// After a reload the browser has the photo no longer; the server does.
async function hasFile(photo) {
  try {
    store.change(photo, { file: photo.file ?? await getFile(`photos/${photo.id}`, photo.name) });
    return true;
  } catch (error) {
    store.change(photo, { state: FAILURE, error: error.message });
    return false;
  }
}

for (const input of [byId("files"), byId("folder")]) {
  const take = () => {
    const files = fromInput(input);
    input.value = "";
    send(files);
    if (!files.length) notice("There is no photo in that folder.");
  };
  input.addEventListener("change", take);
  if (input.files.length) take(); // chosen while this script was still on its way
}
document.addEventListener("paste", (event) => send([...event.clipboardData.files]));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    const leaves = name === "drop" || (name === "dragleave" && !event.relatedTarget);
    document.body.classList.toggle("over", !leaves && mayAdd);
    if (name === "drop") fromDrop(event.dataTransfer).then(send, (error) => notice(`A folder could not be read: ${error.message}`));
  });
}
list.addEventListener("click", (event) => {
  if (!event.target.matches(".retry")) return;
  focus(event.target.closest(".card")); // the button goes
  retry([cards.photoOf(event.target)]);
});
byId("retry-all").addEventListener("click", () => {
  focus(byId("results-title"));
  retry(store.photos.filter(mayBeRetried));
});
window.addEventListener("beforeunload", (event) => {
  if (uploader.busy) event.preventDefault();
});

// --- the batch and its address

let shownPath = location.pathname;

function enterBatch({ batch_id: batchId, share_url: shareUrl }) {
  if (results.dataset.batch !== batchId) {
    results.dataset.batch = batchId;
    history.pushState(null, "", `${root}batches/${batchId}`);
    shownPath = location.pathname;
    byId("csv").href = `${root}batches/${batchId}/results.csv`;
    byId("json").href = `${root}batches/${batchId}/results.json`;
    for (const id of ["csv", "json", "new"]) byId(id).hidden = false;
    for (const label of form.querySelectorAll("label")) label.textContent = label.textContent.replace("Choose", "Add");
    offerShare(byId("share"), shareUrl);
  }
  remember(batchId, store.photos.length);
  live.follow(batchId);
}

// Back and forward lead to another batch, or to none; a link to a part of the page leads nowhere else.
window.addEventListener("popstate", () => {
  if (location.pathname !== shownPath) location.reload();
});

// What the server has rendered stays as it is; the rest, and whatever changes, is drawn from here on.
async function openBatch(batchId) {
  try {
    const batch = await getJson(`batches/${batchId}`);
    batch.results.forEach(takeResult);
    notice("");
    live.follow(batchId);
  } catch (error) {
    if (mayPass(error)) setTimeout(openBatch, AGAIN_MS, batchId);
    notice(mayPass(error) ? `${error.message} Trying again.` : error.message);
  }
}

for (const time of document.querySelectorAll("time[datetime]")) {
  time.textContent = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
showLeftNotice();
if (results.dataset.batch) {
  if (mayAdd) offerShare(byId("share"), byId("share").dataset.url);
  openBatch(results.dataset.batch);
} else {
  listRecent(byId("recent"));
}
if (byId("strip")) watchStatus(byId("strip"), () => count(store.photos).waiting > 0, (status) => {
  byId("model-note").hidden = status.model !== byId("model-note").dataset.model;
  nodes = status.nodes;
  draw();
});
if (byId("reset")) offerReset(byId("reset-open"), byId("reset"), forget);
