// What is known of each photo of the page. Knows no network and no elements; tells its listeners of every change.

export const READY = "READY", UPLOADING = "UPLOADING", PENDING = "PENDING", SUCCESS = "SUCCESS", FAILURE = "FAILURE";

export const isFinal = (photo) => photo.state === SUCCESS || photo.state === FAILURE;

// Seconds from the photo's being sent to the queue to its label.
export function elapsed(photo) {
  const parts = Object.values(photo.timings || {});
  return parts.length ? parts.reduce((sum, part) => sum + part, 0) : undefined;
}

export function count(photos) {
  const counts = { photos: photos.length, waiting: 0, succeeded: 0, failed: 0, unsent: 0 };
  for (const photo of photos) {
    if (photo.state === SUCCESS) counts.succeeded += 1;
    else if (photo.state === FAILURE) counts.failed += 1;
    else counts.waiting += 1;
    if (photo.state === READY || photo.state === UPLOADING) counts.unsent += 1;
  }
  return counts;
}

export class Store extends EventTarget {
  #byId = new Map();
  #early = new Map(); // results that came before the answer that says whose they are
  #replaced = new Set(); // ids of photos that were sent again, under another
  photos = [];

  add(facts) {
    const photo = { order: this.photos.length, state: READY, name: "", ...facts };
    this.photos.push(photo);
    if (photo.id) this.#byId.set(photo.id, photo);
    this.#tell(photo);
    return photo;
  }

  change(photo, facts) {
    if (facts.id && facts.id !== photo.id) {
      if (photo.id) this.#replaced.add(photo.id);
      this.#byId.delete(photo.id);
      this.#byId.set(facts.id, photo);
    }
    Object.assign(photo, facts, this.#early.get(facts.id));
    this.#early.delete(facts.id);
    this.#tell(photo);
  }

  // Take a result as the API gives it. A photo that nobody here has sent is added, unless an upload may yet claim it.
  // Of a photo that is on its way again, what its first try came to is no news.
  take(result) {
    const photo = this.#byId.get(result.id);
    if (this.#replaced.has(result.id)) return;
    if (photo) {
      if (photo.state === PENDING) this.change(photo, result);
    } else if (this.photos.some((known) => known.state === UPLOADING)) {
      this.#early.set(result.id, result);
    } else {
      this.add(result);
    }
  }

  // Adds what came early and was claimed by no upload: another window has added it.
  settle() {
    if (this.photos.some((photo) => photo.state === UPLOADING)) return;
    for (const [id, result] of this.#early) {
      this.#early.delete(id);
      this.add(result);
    }
  }

  #tell(photo) {
    this.dispatchEvent(new CustomEvent("change", { detail: photo }));
  }
}
