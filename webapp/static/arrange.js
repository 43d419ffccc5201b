// Which photos are shown, and in which order. Pure.
import { elapsed, isFinal } from "./store.js";

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
const byOrder = (one, other) => one.order - other.order;
const last = (value) => (value === undefined ? -Infinity : value);

const SORTS = {
  order: byOrder,
  name: (one, other) => collator.compare(one.name, other.name),
  label: (one, other) => collator.compare(one.label ?? "\uffff", other.label ?? "\uffff") || other.confidence - one.confidence,
  surest: (one, other) => last(other.confidence) - last(one.confidence),
  unsurest: (one, other) => (one.confidence ?? Infinity) - (other.confidence ?? Infinity),
  slowest: (one, other) => last(elapsed(other)) - last(elapsed(one)),
};

export function arrange(photos, { state = "", label = "", text = "", sort = "order" }) {
  const wanted = text.trim().toLowerCase();
  const shown = photos.filter((photo) =>
    (!state || (state === "WAITING" ? !isFinal(photo) : photo.state === state))
    && (!label || photo.label === label)
    && (!wanted || photo.name.toLowerCase().includes(wanted)));
  return shown.sort((one, other) => SORTS[sort](one, other) || byOrder(one, other));
}

// The labels with the number of photos of each, most frequent first.
export function labels(photos) {
  const counts = new Map();
  for (const { label } of photos) if (label) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].sort(([one, ones], [other, others]) => others - ones || collator.compare(one, other));
}
