// What the page tells in words: a notice that stays, and short news for screen readers, never faster than they speak.

const SPEAK_MS = 2500;
const KEY = "notice";

const box = document.getElementById("notice");
const live = document.getElementById("live");
let next, timer;

export function notice(text) {
  if (box.textContent === text) return;
  box.textContent = text;
  box.hidden = !text;
}

// For the page that is loaded next.
export function leaveNotice(text) {
  sessionStorage.setItem(KEY, text);
}

export function showLeftNotice() {
  const text = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (text) notice(text);
}

export function announce(text) {
  next = text;
  timer ??= setTimeout(() => {
    timer = undefined;
    if (live.textContent !== next) live.textContent = next;
  }, SPEAK_MS);
}
