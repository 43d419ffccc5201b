// Figures as people read them. Pure.

export const percent = (share) => `${(100 * share).toFixed(1)} %`;
export const seconds = (value, digits = 2) => `${value.toFixed(digits)} s`;
export const photos = (number) => `${number} ${number === 1 ? "photo" : "photos"}`;

export function bytes(number) {
  return number < 1e6 ? `${Math.ceil(number / 1e3)} kB` : `${(number / 1e6).toFixed(number < 1e8 ? 1 : 0)} MB`;
}

export function summary(counts) {
  const parts = [`${counts.succeeded} classified`];
  if (counts.waiting) parts.push(`${counts.waiting} waiting`);
  if (counts.failed) parts.push(`${counts.failed} failed`);
  return `${photos(counts.photos)}: ${parts.join(", ")}`;
}
