// Deletes everything, after asking; the page then begins anew and tells what was removed.
import { postJson, root } from "./api.js";
import { leaveNotice } from "./notice.js";

const NOUNS = { photos: "photos", results: "results", batches: "batches", messages: "waiting tasks" };

export function offerReset(opener, dialog, onDeleted) {
  const confirm = dialog.querySelector("#reset-confirm");
  const problem = dialog.querySelector("#reset-error");
  opener.hidden = false;
  opener.addEventListener("click", () => {
    problem.hidden = true;
    dialog.showModal();
  });
  confirm.addEventListener("click", async () => {
    confirm.disabled = true;
    try {
      const removed = await postJson("reset");
      const parts = Object.entries(NOUNS).map(([key, noun]) => `${removed[key]} ${noun}`);
      onDeleted();
      leaveNotice(`Deleted: ${parts.join(", ")}.`);
      location.assign(root);
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      confirm.disabled = false;
    }
  });
}
