/* What each genre looks like in the ribbon: a colour and a pattern.
 *
 * The colours of the genres that ship with a model are at least 26 apart in CIE Lab, also as people see them who lack one
 * kind of cone (Machado et al. 2009), and have a contrast of 3 to 1 with the stage; a test holds them to that. Where
 * colour does not show at all, the patterns and the names in the ribbon tell the genres apart.
 */

import { SILENCE } from "./words.js";

export const STAGE = "#10141a"; // the ground of the ribbon, in light and dark pages
export const UNKNOWN = { colour: "#465160", pattern: "plain" }; // what has not been recognized yet
const LOOKS = {
  blues: { colour: "#5f97ea", pattern: "plain" },
  classical: { colour: "#ffef4e", pattern: "level" },
  electronic: { colour: "#34e092", pattern: "checks" },
  hiphop: { colour: "#8a45ed", pattern: "dots" },
  jazz: { colour: "#e38c39", pattern: "rising" },
  pop: { colour: "#f6acdb", pattern: "rings" },
  rock: { colour: "#c43c39", pattern: "falling" },
  not_music: { colour: "#728785", pattern: "upright" },
  [SILENCE]: { colour: "#2a323d", pattern: "plain" },
};
const SPARE = ["blues", "jazz", "electronic", "pop", "classical", "rock", "hiphop"].map((name) => LOOKS[name].colour);
const TILE = 8; // CSS pixels
const DRAW = {
  plain: () => {},
  level: (tile) => tile.fillRect(0, 0, 8, 2),
  upright: (tile) => tile.fillRect(0, 0, 2, 8),
  checks: (tile) => {
    tile.fillRect(0, 0, 4, 4);
    tile.fillRect(4, 4, 4, 4);
  },
  dots: (tile) => {
    for (const [x, y] of [[2, 2], [6, 6]]) disc(tile, x, y).fill();
  },
  rings: (tile) => disc(tile, 4, 4, 2.4).stroke(),
  rising: (tile) => lines(tile, 1),
  falling: (tile) => lines(tile, -1),
  crossed: (tile) => {
    lines(tile, 1);
    lines(tile, -1);
  },
};
const PATTERNS = Object.keys(DRAW);

/** The look of each class and of silence, as a Map. A class that is not known here gets the first look that is free. */
export function looksOf(classes) {
  const looks = new Map([[SILENCE, LOOKS[SILENCE]]]);
  const strangers = classes.filter((name) => !Object.hasOwn(LOOKS, name));
  for (const name of classes) if (Object.hasOwn(LOOKS, name)) looks.set(name, LOOKS[name]);
  const taken = new Set([...looks.values()].map((look) => look.colour));
  const free = SPARE.filter((colour) => !taken.has(colour));
  const colours = free.length ? free : SPARE;
  strangers.forEach((name, i) => {
    const pattern = PATTERNS[(PATTERNS.length - 1 + i * 2 + Math.floor(i / colours.length)) % PATTERNS.length];
    looks.set(name, { colour: colours[i % colours.length], pattern });
  });
  return looks;
}

/** The looks of a second's labels: several are written `piano|voice`; where there is none, or not yet, the unknown's. */
export function looksAt(label, looks) {
  const names = looks.has(label) ? [label] : (label ?? "").split("|").filter((name) => looks.has(name));
  return names.length ? names.map((name) => looks.get(name)) : [UNKNOWN];
}

const tiles = new Map();

/** What to fill a canvas with for a look; `ratio` is how many of its pixels make one of the page's. */
export function fillFor(context, { colour, pattern }, ratio) {
  if (pattern === "plain") return colour;
  const key = `${colour} ${pattern} ${ratio}`;
  if (!tiles.has(key)) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = Math.round(TILE * ratio);
    const tile = canvas.getContext("2d");
    tile.scale(canvas.width / TILE, canvas.height / TILE);
    tile.fillStyle = colour;
    tile.fillRect(0, 0, TILE, TILE);
    tile.fillStyle = tile.strokeStyle = "rgb(0 0 0 / 0.45)";
    tile.lineWidth = 1.6;
    DRAW[pattern](tile);
    tiles.set(key, canvas);
  }
  const fill = context.createPattern(tiles.get(key), "repeat");
  fill.setTransform(new DOMMatrix([1 / ratio, 0, 0, 1 / ratio, 0, 0]));
  return fill;
}

/** A small picture of a look, for lists and legends. */
export function swatch(look) {
  const [canvas, ratio] = [document.createElement("canvas"), 2];
  [canvas.width, canvas.height] = [26 * ratio, 16 * ratio];
  canvas.className = "timeline-swatch";
  canvas.setAttribute("aria-hidden", "true");
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.fillStyle = fillFor(context, look, ratio);
  context.fillRect(0, 0, 26, 16);
  return canvas;
}

function disc(tile, x, y, radius = 1.4) {
  tile.beginPath();
  tile.arc(x, y, radius, 0, 2 * Math.PI);
  return tile;
}

function lines(tile, slope) {
  tile.beginPath();
  for (const shift of [-8, 0, 8]) {
    tile.moveTo(shift, slope > 0 ? 8 : 0);
    tile.lineTo(shift + 8, slope > 0 ? 0 : 8);
  }
  tile.stroke();
}
