// Sends photos in pieces, some at a time, into one batch; waits when the server is busy.
import { postFiles } from "./api.js";
import { FAILURE, PENDING, UPLOADING } from "./store.js";

const FIRST_PHOTOS = 8; // a small first piece: its labels come while the rest is on its way
const PIECE_PHOTOS = 50;
const PIECE_BYTES = 32e6;
const LANES = 2;
const BUSY = [429, 503];
const BUSY_ATTEMPTS = 8;
const BUSY_PAUSE_S = 3; // where the server names no time

// Cut the photos into pieces that one request may carry. Pure.
export function pieces(photos, { first, maxFiles, maxBytes }) {
  const cut = [];
  let piece = [], bytes = 0;
  for (const photo of photos) {
    const most = Math.min(maxFiles, cut.length || !first ? PIECE_PHOTOS : FIRST_PHOTOS);
    if (piece.length && (piece.length >= most || bytes + photo.file.size > Math.min(maxBytes, PIECE_BYTES))) {
      cut.push(piece);
      piece = [];
      bytes = 0;
    }
    piece.push(photo);
    bytes += photo.file.size;
  }
  return piece.length ? [...cut, piece] : cut;
}

export class Uploader {
  batchId;
  bytes = 0;
  sentBytes = 0;
  busyForS = 0;
  #store;
  #limits;
  #onBatch;
  #onProgress;
  #waiting = [];
  #running = 0;

  // onBatch(answer): the batch's first photos, or more of them, were taken. onProgress(): the figures above have changed.
  constructor({ store, limits, batchId, onBatch, onProgress }) {
    this.#store = store;
    this.#limits = limits;
    this.batchId = batchId;
    this.#onBatch = onBatch;
    this.#onProgress = onProgress;
  }

  get busy() {
    return this.#running > 0 || this.#waiting.length > 0;
  }

  send(photos) {
    if (!this.busy) this.bytes = this.sentBytes = 0;
    this.bytes += photos.reduce((sum, photo) => sum + photo.file.size, 0);
    const isNew = (photo) => !photo.id;
    const groups = [photos.filter(isNew), photos.filter((photo) => !isNew(photo))];
    this.#waiting.push(...groups.flatMap((group) => pieces(group, { first: !this.busy, ...this.#limits })));
    this.#start();
  }

  #start() {
    // Until the batch has its id there is nothing that other pieces could be added to.
    while (this.#waiting.length && this.#running < (this.batchId ? LANES : 1)) {
      this.#running += 1;
      this.#sendPiece(this.#waiting.shift()).finally(() => {
        this.#running -= 1;
        this.#store.settle();
        this.#onProgress();
        this.#start();
      });
    }
  }

  async #sendPiece(photos) {
    for (const photo of photos) this.#store.change(photo, { state: UPLOADING, error: "" });
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#post(photos);
      if (!BUSY.includes(answer.status) || attempt === BUSY_ATTEMPTS) {
        this.#finish(photos, answer.body);
        return;
      }
      await this.#pause(answer.retryAfterS || BUSY_PAUSE_S);
    }
  }

  async #post(photos) {
    const size = photos.reduce((sum, photo) => sum + photo.file.size, 0);
    let counted = 0;
    const count = (share) => {
      this.sentBytes += size * share - counted;
      counted = size * share;
      this.#onProgress();
    };
    const answer = await postFiles(this.#path(photos), photos.map((photo) => photo.file), count);
    count(BUSY.includes(answer.status) ? 0 : 1);
    return answer;
  }

  // Photos that were in the batch before and failed are replaced: either all of a piece or none.
  #path(photos) {
    if (!this.batchId) return "classify";
    const replaced = photos.filter((photo) => photo.id).map((photo) => ["replaces", photo.id]);
    return `classify?${new URLSearchParams([["batch", this.batchId], ...replaced])}`;
  }

  async #pause(forS) {
    this.busyForS = forS;
    this.#onProgress();
    await new Promise((resolve) => { setTimeout(resolve, 1000 * forS); });
    this.busyForS = 0;
    this.#onProgress();
  }

  // The answer names refused photos by their place in the request; the tasks are the others', in order.
  #finish(photos, answer) {
    const { tasks = [], rejected = [], error } = answer;
    if (answer.batch_id) this.batchId = answer.batch_id;
    const refused = new Map(rejected.map((entry) => [entry.index, entry.error]));
    const taken = [...tasks];
    photos.forEach((photo, index) => {
      if (!refused.has(index) && taken.length) this.#store.change(photo, { state: PENDING, id: taken.shift().id });
      else this.#store.change(photo, { state: FAILURE, error: refused.get(index) ?? error ?? "The server did not take it." });
    });
    if (tasks.length) this.#onBatch(answer);
  }
}
