/* A song's timeline as a picture to be shared. */

import { STAGE, swatch } from "./palette.js";
import { drawRibbon } from "./ribbon.js";
import { text } from "./strings.js";
import { inWords } from "./words.js";

const [WIDTH, HEIGHT, MARGIN, RATIO] = [1200, 630, 64, 1.6]; // what most sites show of a link

/** A PNG file, as a Blob, of a song as `timeline`, a Timeline, shows it; `verdict` is its sentence. */
export function pictureOf(song, timeline, verdict) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [WIDTH, HEIGHT];
  const context = canvas.getContext("2d");
  context.fillStyle = STAGE;
  context.fillRect(0, 0, WIDTH, HEIGHT);
  const width = WIDTH - 2 * MARGIN;
  const write = (words, y, font, colour) => {
    context.font = `${font} system-ui, sans-serif`;
    context.fillStyle = colour;
    context.fillText(fitting(context, words, width), MARGIN, y);
  };
  write(song.title, 112, "700 54px", "#ffffff");
  write(verdict, 166, "26px", "#c3ccd6");
  context.save();
  context.translate(MARGIN, 210);
  context.scale(RATIO, RATIO); // its letters are small for a picture
  drawRibbon(context, {
    width: width / RATIO,
    height: 270 / RATIO,
    ratio: RATIO,
    fromS: 0,
    spanS: song.durationS,
    runs: timeline.runs(),
    peaks: timeline.peaks,
    looks: timeline.looks,
    name: (label) => inWords(label, text.timeline),
  });
  context.restore();
  drawLegend(context, timeline, width);
  write(`genreline · ${song.result.model}`, 592, "22px", "#8d98a5");
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function drawLegend(context, timeline, width) {
  context.font = "24px system-ui, sans-serif";
  context.fillStyle = "#e8ebee";
  let x = 0;
  for (const label of new Set(timeline.runs().flatMap((run) => run.label.split("|")))) {
    if (!label) continue;
    const words = inWords(label, text.timeline);
    const needed = 50 + context.measureText(words).width;
    if (x + needed > width) return;
    context.drawImage(swatch(timeline.looks.get(label)), MARGIN + x, 514, 38, 24);
    context.fillText(words, MARGIN + x + 48, 535);
    x += needed + 32;
  }
}

/** As many letters of a text as there is room for. */
function fitting(context, words, width) {
  if (context.measureText(words).width <= width) return words;
  let kept = words;
  while (kept && context.measureText(`${kept}…`).width > width) kept = kept.slice(0, -1);
  return `${kept}…`;
}
