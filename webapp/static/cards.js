// One card for each photo: thumbnail, label, confidence, what else the model thought, or why it failed.
import { FAILURE, PENDING, READY, SUCCESS, UPLOADING, elapsed } from "./store.js";
import { percent, seconds } from "./format.js";

const WORDS = { [READY]: "to be sent", [UPLOADING]: "uploading…", [PENDING]: "waiting…", [FAILURE]: "failed" };
const PARTS = {
  queue_s: "in the queue",
  fetch_s: "fetching",
  decode_s: "decoding",
  batch_wait_s: "waiting for a batch",
  inference_s: "in the model",
};

export class Cards {
  #list;
  #blank;
  #root;
  #rendered;
  #cards = new Map();

  constructor(list, blank, root) {
    this.#list = list;
    this.#blank = blank;
    this.#root = root;
    this.#rendered = new Map([...list.children].map((card) => [card.dataset.id, card]));
  }

  show(photo) {
    const card = this.#cards.get(photo) ?? this.#adopt(photo) ?? this.#add(photo);
    const part = (name) => card.querySelector(`.${name}`);
    const done = photo.state === SUCCESS;
    card.dataset.state = photo.state;
    if (photo.id) card.dataset.id = photo.id;
    setText(part("name"), photo.name);
    part("name").title = photo.name;
    setText(part("label"), done ? photo.label : WORDS[photo.state]);
    setText(part("percent"), done ? percent(photo.confidence) : "");
    setText(part("reason"), photo.error ?? "");
    part("percent").hidden = part("confidence").hidden = part("more").hidden = !done;
    part("reason").hidden = photo.state !== FAILURE;
    part("retry").hidden = photo.state !== FAILURE || !photo.mayRetry;
    part("retry").setAttribute("aria-label", `Try ${photo.name} again`);
    if (done) this.#showResult(photo, part);
  }

  arrange(shown) {
    const wanted = new Set(shown);
    for (const [photo, card] of this.#cards) card.hidden = !wanted.has(photo);
    const cards = shown.map((photo) => this.#cards.get(photo));
    const visible = [...this.#list.children].filter((card) => !card.hidden);
    if (cards.length === visible.length && cards.every((card, place) => card === visible[place])) return;
    const focused = document.activeElement;
    this.#list.append(...cards);
    // Moving an element takes the focus from it.
    if (this.#list.contains(focused) && document.activeElement !== focused) focused.focus({ preventScroll: true });
  }

  photoOf(element) {
    const card = element.closest(".card");
    return [...this.#cards].find(([, known]) => known === card)?.[0];
  }

  // Take over a card that the server has rendered: a reload shows it at once.
  #adopt(photo) {
    const card = this.#rendered.get(photo.id);
    if (!card) return undefined;
    this.#cards.set(photo, card);
    this.#replaceUnreadable(card.querySelector(".thumb"));
    return card;
  }

  #add(photo) {
    const card = this.#blank.content.firstElementChild.cloneNode(true);
    const image = card.querySelector(".thumb");
    image.src = photo.file ? URL.createObjectURL(photo.file) : this.#thumbnailUrl(photo);
    this.#replaceUnreadable(image);
    this.#cards.set(photo, card);
    this.#list.append(card);
    return card;
  }

  #thumbnailUrl(photo) {
    return `${this.#root}photos/${photo.id}/thumbnail`;
  }

  // What this browser cannot show (a TIFF, a broken file) is shown as a symbol.
  #replaceUnreadable(image) {
    const replace = () => {
      image.src = this.#list.dataset.unreadable;
      image.classList.add("unreadable");
    };
    if (image.complete && image.currentSrc && !image.naturalWidth) replace();
    else image.addEventListener("error", replace, { once: true });
  }

  #showResult(photo, part) {
    const image = part("thumb");
    if (image.classList.contains("unreadable")) { // by this browser, but not by the server
      image.classList.remove("unreadable");
      image.src = this.#thumbnailUrl(photo);
      this.#replaceUnreadable(image);
    }
    part("confidence").value = photo.confidence;
    part("confidence").setAttribute("aria-label", `confidence ${percent(photo.confidence)}`);
    const time = elapsed(photo);
    const summary = part("more").querySelector("summary");
    summary.firstChild.data = `Top ${photo.top.length} `;
    summary.title = time === undefined ? "" : "time from the queue to the label";
    setText(part("time"), time === undefined ? "" : seconds(time));
    part("top").replaceChildren(...photo.top.map(rank));
    const parts = Object.entries(PARTS).filter(([name]) => name in (photo.timings ?? {}));
    part("timings").replaceChildren(...parts.map(([name, words]) => timing(words, photo.timings[name])));
  }
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function element(tag, text = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function rank({ label, confidence }) {
  const item = document.createElement("li");
  const meter = document.createElement("meter");
  meter.value = confidence;
  meter.setAttribute("aria-label", `confidence of ${label}`);
  item.append(element("span", label), " ", element("span", percent(confidence)), meter);
  return item;
}

function timing(words, value) {
  const row = document.createElement("div");
  row.append(element("dt", words), element("dd", seconds(value, 3)));
  return row;
}
