/* The examples: cards that show their timelines before anybody presses them. */

import { drawRibbon, runsOf } from "./ribbon.js";
import { looksOf } from "./palette.js";
import { ask } from "./service.js";
import { exampleSong } from "./song.js";
import { formatTime } from "./words.js";

/** Fill a list with a card for each example; `onShow` gets the song of the one that is pressed. */
export async function showExamples(list, onShow) {
  const songs = await Promise.all((await ask("v1/examples")).map(exampleSong));
  list.replaceChildren(...songs.map((song) => cardOf(song, onShow)));
}

function cardOf(song, onShow) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "example";
  const [title, length] = [document.createElement("strong"), document.createElement("span")];
  title.textContent = song.title;
  length.textContent = formatTime(song.durationS);
  button.append(pictureOf(song), title, length);
  button.addEventListener("click", () => onShow(song));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function pictureOf({ durationS, result }) {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("aria-hidden", "true");
  const runs = runsOf(result.seconds, (second) => second.label);
  const peaks = result.seconds.flatMap((second) => second.peaks);
  const looks = looksOf(result.classes);
  new ResizeObserver(([{ contentRect: { width, height } }]) => {
    const ratio = devicePixelRatio || 1;
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    drawRibbon(context, { width, height, ratio, fromS: 0, spanS: durationS, runs, peaks, looks });
  }).observe(canvas);
  return canvas;
}
