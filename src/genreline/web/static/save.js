/* The buttons that save the timeline of the song that is shown. */

import { render, withSound } from "./service.js";
import { text } from "./strings.js";

/** Fill an element with a button for each format; `songOf()` gives the song, `onSaved` gets the file's name. */
export function saveWith(element, songOf, onSaved, onError) {
  for (const [format, label] of Object.entries(text.formats)) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.format = format;
    button.textContent = label;
    button.addEventListener("click", async () => {
      const song = songOf(); // another may be chosen meanwhile
      try {
        const page = await render(song.timeline, format);
        const blob = format === "html" && song.file ? await withSound(page, song.file) : page;
        onSaved(saveBlob(blob, `${song.title || "timeline"}.${format}`));
      } catch (error) {
        onError(error);
      }
    });
    element.append(button);
  }
}

/** Have the browser save a file. Returns its name. */
export function saveBlob(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return name;
}
