// Requests to the server: JSON in and out, the form token that it wants with every POST, its own words for errors.

const token = document.querySelector("meta[name=csrf-token]")?.content;
const POST_HEADERS = { Accept: "application/json", ...(token && { "X-CSRFToken": token }) };
const UNREACHABLE = "The server could not be reached.";

export const root = document.body.dataset.root;

// Whether the same request may do better later: the server is busy or broken, or the way to it is.
export const mayPass = ({ status = 503 }) => status === 429 || status >= 500;

// Resolves with the answer's JSON; rejects with an Error whose message can be shown; it has the answer's status, if any.
export async function getJson(path) {
  return read(await ask(path, { headers: { Accept: "application/json" } }));
}

export async function postJson(path) {
  return read(await ask(path, { method: "POST", headers: POST_HEADERS }));
}

export async function getFile(path, name) {
  const response = await ask(path, {});
  if (!response.ok) return read(response);
  const data = await response.blob();
  return new File([data], name, { type: data.type });
}

// Send files, and tell how much of them has gone. Never rejects: status 0 is "could not be reached".
export function postFiles(path, files, onProgress) {
  const form = new FormData();
  for (const file of files) form.append("img", file, file.name);
  const request = new XMLHttpRequest(); // fetch tells nothing of an upload's progress
  return new Promise((resolve) => {
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / Math.max(event.total, 1)));
    request.addEventListener("loadend", () => resolve({
      status: request.status,
      body: request.response ?? { error: UNREACHABLE },
      retryAfterS: Number(request.getResponseHeader("Retry-After")),
    }));
    request.responseType = "json";
    request.open("POST", root + path);
    for (const [name, value] of Object.entries(POST_HEADERS)) request.setRequestHeader(name, value);
    request.send(form);
  });
}

async function ask(path, options) {
  try {
    return await fetch(root + path, options);
  } catch {
    throw new Error(UNREACHABLE);
  }
}

async function read(response) {
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  throw Object.assign(new Error(body.error ?? `The server answered ${response.status}.`), { status: response.status });
}
