// Uploads the chosen photos with a progress bar, then polls for each one's result and shows it.
"use strict";

const POLL_MIN_MS = 150;
const POLL_MAX_MS = 2000;
const PHOTOS_PER_REQUEST = 8;

const form = document.getElementById("form");
const input = document.getElementById("files");
const drop = document.getElementById("drop");
const list = document.getElementById("photos");
const progress = document.getElementById("progress");
const statusText = document.getElementById("status");
const bar = document.getElementById("bar");

const counts = { chosen: 0, sentBytes: 0, bytes: 0, done: 0, failed: 0 };

function addCard(file) {
  const card = document.getElementById("photo").content.firstElementChild.cloneNode(true);
  const image = card.querySelector("img");
  image.src = URL.createObjectURL(file);
  image.addEventListener("error", () => { image.src = list.dataset.unreadable; }, { once: true });
  card.querySelector(".name").textContent = file.name;
  card.querySelector(".name").title = file.name;
  list.append(card);
  return card;
}

function show(card, state, text) {
  card.dataset.state = state;
  card.querySelector(".label").textContent = text;
}

function fail(card, reason) {
  counts.failed += 1;
  show(card, "FAILURE", reason);
  showProgress();
}

function succeed(card, result) {
  counts.done += 1;
  const percent = (100 * result.confidence).toFixed(1);
  show(card, "SUCCESS", `${result.label} · ${percent} %`);
  const meter = card.querySelector(".confidence");
  meter.value = result.confidence;
  meter.setAttribute("aria-label", `confidence ${percent} percent`);
  meter.hidden = false;
  showProgress();
}

function showProgress() {
  progress.hidden = counts.chosen === 0;
  const settled = counts.done + counts.failed;
  const uploaded = counts.bytes ? counts.sentBytes / counts.bytes : 1;
  // The first half of the bar is the upload, the second the results.
  bar.value = (uploaded + settled / Math.max(counts.chosen, 1)) / 2;
  const failures = counts.failed ? `, ${counts.failed} failed` : "";
  statusText.textContent = uploaded < 1
    ? `Uploading ${counts.chosen} photos: ${Math.floor(100 * uploaded)} %`
    : `${counts.done} of ${counts.chosen} classified${failures}`;
}

function post(files) {
  const data = new FormData();
  files.forEach((file) => data.append("img", file, file.name));
  const request = new XMLHttpRequest();
  let counted = 0;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const count = (share) => {
    counts.sentBytes += size * share - counted;
    counted = size * share;
    showProgress();
  };
  return new Promise((resolve) => {
    request.upload.addEventListener("progress", (event) => count(event.loaded / Math.max(event.total, 1)));
    request.addEventListener("loadend", () => {
      count(1);
      resolve({ status: request.status, body: request.response || {} });
    });
    request.responseType = "json";
    request.open("POST", form.action);
    request.send(data);
  });
}

// The answer names refused photos by their place in the request; the tasks are the others', in order.
function pair(cards, body) {
  const refused = new Map((body.rejected || []).map((entry) => [entry.index, entry.error]));
  const tasks = [...(body.tasks || [])];
  cards.forEach((card, index) => {
    if (refused.has(index)) fail(card, refused.get(index));
    else if (tasks.length) follow(card, tasks.shift());
    else fail(card, body.error || "The server could not be reached.");
  });
}

async function follow(card, task) {
  show(card, "PENDING", "waiting…");
  let pauseMs = POLL_MIN_MS;
  for (;;) {
    try {
      const response = await fetch(task.result_url);
      const body = await response.json();
      if (response.status === 200) {
        if (body.state === "SUCCESS") succeed(card, body);
        else fail(card, body.error);
        return;
      }
      if (response.status === 404) {
        fail(card, body.error);
        return;
      }
    } catch (error) {
      show(card, "PENDING", `waiting… (${error.message}; trying again)`);
    }
    await new Promise((resolve) => { setTimeout(resolve, pauseMs); });
    pauseMs = Math.min(pauseMs * 1.3, POLL_MAX_MS);
  }
}

async function upload(chosen) {
  const files = [...chosen];
  const cards = files.map(addCard);
  counts.chosen += files.length;
  counts.bytes += files.reduce((sum, file) => sum + file.size, 0);
  showProgress();
  for (let start = 0; start < files.length; start += PHOTOS_PER_REQUEST) {
    const end = start + PHOTOS_PER_REQUEST;
    const answer = await post(files.slice(start, end));
    pair(cards.slice(start, end), answer.body);
  }
}

input.addEventListener("change", () => {
  upload(input.files);
  form.reset();
});
["dragover", "dragleave", "drop"].forEach((name) => drop.addEventListener(name, (event) => {
  event.preventDefault();
  drop.classList.toggle("over", name === "dragover");
  if (name === "drop") upload(event.dataTransfer.files);
}));
