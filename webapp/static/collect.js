// The files that a person has dropped, pasted or chosen; of folders, the photos in them.

const PHOTO_NAME = /\.(jpe?g|png|gif|webp|bmp|tiff?)$/i;

const isPhoto = (file) => (file.type.startsWith("image/") && file.type !== "image/svg+xml") || PHOTO_NAME.test(file.name);

// Files chosen one by one are all sent, and the server says what is wrong with one; a folder's other files are left out.
export function fromInput(input) {
  const files = [...input.files];
  return input.webkitdirectory ? files.filter(isPhoto) : files;
}

export async function fromDrop(transfer) {
  // Items are there only until the first pause: what they are must be asked at once.
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const found = await Promise.all(items.map((item) => {
    const entry = item.webkitGetAsEntry?.();
    return entry?.isDirectory ? inFolder(entry) : [item.getAsFile()];
  }));
  return found.flat();
}

async function inFolder(folder) {
  const files = [];
  for (const entry of await entries(folder)) {
    if (entry.isDirectory) files.push(...await inFolder(entry));
    else files.push(await new Promise((resolve, reject) => { entry.file(resolve, reject); }));
  }
  return files.filter(isPhoto);
}

async function entries(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) { // a call gives a hundred at most
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!some.length) return all;
    all.push(...some);
  }
}
