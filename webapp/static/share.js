// The button that copies the batch's address.
import { announce, notice } from "./notice.js";

const TOLD_MS = 2000;

export function offerShare(button, path) {
  const words = button.textContent;
  button.hidden = false;
  button.onclick = async () => {
    const url = new URL(path || location.href, location.href).href;
    try {
      await navigator.clipboard.writeText(url);
      button.textContent = "Copied";
      announce("Link copied");
      setTimeout(() => { button.textContent = words; }, TOLD_MS);
    } catch { // not allowed, or not served over TLS
      notice(`Copy this link: ${url}`);
    }
  };
}
