// Follows a batch until each of its photos has a result: server-sent events, or polling where they do not get through.
import { getJson, mayPass, root } from "./api.js";

const FIRST_EVENT_MS = 5000; // the server tells the counts as soon as it is asked; a proxy may hold them back
const BACK_MS = 10_000; // for a stream that broke off to be there again
const POLL_MS = 2000;
const AGAIN_MS = 300; // the stream has ended, but photos were added since

export class Live {
  #batchId;
  #timer;
  #source;
  #polls = false;
  #onResult;
  #isWaiting;
  #onProblem;

  // onResult(result) may be told a result again; isWaiting(): is there a photo without one; onProblem(text or "").
  constructor({ onResult, isWaiting, onProblem }) {
    this.#onResult = onResult;
    this.#isWaiting = isWaiting;
    this.#onProblem = onProblem;
  }

  get mode() {
    if (this.#source) return "events";
    return this.#timer ? "polling" : "idle";
  }

  follow(batchId) {
    this.#batchId = batchId;
    if (this.mode === "idle") this.#next();
  }

  #next() {
    this.#timer = undefined;
    if (!this.#isWaiting()) return;
    if (this.#polls) this.#poll();
    else this.#listen();
  }

  #listen() {
    const source = new EventSource(`${root}batches/${this.#batchId}/events`);
    this.#source = source;
    const end = (pauseMs) => {
      clearTimeout(this.#timer);
      source.close();
      this.#source = undefined;
      this.#timer = setTimeout(() => this.#next(), pauseMs);
    };
    const giveUp = () => {
      this.#polls = true;
      end(0);
    };
    let works = false;
    const heard = () => {
      works = true;
      clearTimeout(this.#timer);
    };
    this.#timer = setTimeout(giveUp, FIRST_EVENT_MS);
    source.addEventListener("counts", heard);
    source.addEventListener("result", (event) => {
      heard();
      this.#onResult(JSON.parse(event.data));
    });
    source.addEventListener("end", () => end(AGAIN_MS));
    source.addEventListener("error", () => {
      // When a stream that worked breaks off, the browser connects again by itself; one that was refused stays closed.
      if (!works || source.readyState === EventSource.CLOSED) giveUp();
      else this.#timer = setTimeout(giveUp, BACK_MS);
      works = false;
    });
  }

  async #poll() {
    this.#timer = setTimeout(() => this.#next(), POLL_MS);
    try {
      const batch = await getJson(`batches/${this.#batchId}`);
      batch.results.forEach(this.#onResult);
      this.#onProblem("");
    } catch (error) {
      if (mayPass(error)) {
        this.#onProblem(`${error.message} Trying again.`);
      } else {
        clearTimeout(this.#timer);
        this.#timer = undefined;
        this.#onProblem(error.message);
      }
    }
  }
}
