/* Several songs: which they are, how far each is, and who is next. */

import { looksOf, swatch } from "./palette.js";
import { render } from "./service.js";
import { ranked } from "./song.js";
import { text } from "./strings.js";
import { inWords, percent, songLabels } from "./words.js";
import { zipOf } from "./zip.js";

const AT_ONCE = 2; // as many as a service usually works on
export const MOST_SONGS = 300;

export class SongList {
  /** `recognize(song)` does so, and never throws; `onShow` gets the song that is chosen in the list. */
  constructor({ section, list, saveButton, recognize, onShow, onSaved, onError }) {
    Object.assign(this, { _section: section, _list: list, _recognize: recognize, _onShow: onShow });
    this.songs = [];
    this._running = new Set();
    this._rows = new Map();
    this._saveButton = saveButton;
    saveButton.addEventListener("click", () => this._save(onSaved).catch(onError));
  }

  /** Take more songs, which wait for their turn; returns those for which there is room, as for any recording. */
  take(songs) {
    const room = MOST_SONGS - this.songs.length;
    const taken = songs.filter((song, i) => i < room || song.isRecorded);
    for (const song of taken) {
      this.songs.push(song);
      this._rows.set(song, this._rowOf(song));
      this._list.append(this._rows.get(song));
    }
    return taken;
  }

  /** Show how far all of them are, and which one is shown. */
  update(shown) {
    this._section.hidden = !this.songs.some((song) => song !== shown); // nothing but the way back to the shown song
    const waiting = this.songs.filter((song) => song.state === "waiting");
    for (const song of this.songs) {
      const button = this._rows.get(song).firstElementChild;
      button.setAttribute("aria-current", String(song === shown));
      const name = button.children[1];
      if (name.textContent !== song.title) name.textContent = song.title; // which a link has once it is fetched
      const state = stateOf(song, waiting.indexOf(song) + 1);
      if (button.lastElementChild.textContent === state) continue;
      button.lastElementChild.textContent = state;
      const labels = song.state === "done" ? songLabels(song.result.summary) : [];
      const looks = looksOf(song.result?.classes ?? []);
      button.firstElementChild.replaceChildren(...labels.map((label) => swatch(looks.get(label))));
    }
    this._saveButton.disabled = !this.songs.some((song) => song.state === "done");
  }

  /** Recognize the songs that wait, a few at a time. */
  begin() {
    while (this._running.size < AT_ONCE) {
      const song = this.songs.find(({ state }) => state === "waiting");
      if (!song) return;
      song.state = "running";
      this._running.add(song);
      this._recognize(song).finally(() => {
        this._running.delete(song);
        this.begin();
      });
    }
  }

  _rowOf(song) {
    const button = document.createElement("button");
    button.type = "button";
    const cells = ["look", "name", "state"].map((part) => {
      const cell = document.createElement("span");
      cell.className = `list-${part}`;
      return cell;
    });
    button.append(...cells);
    button.addEventListener("click", () => this._onShow(song));
    const row = document.createElement("li");
    row.append(button);
    return row;
  }

  async _save(onSaved) {
    const done = this.songs.filter((song) => song.state === "done");
    const files = [];
    for (const song of done) files.push([`${song.title}.csv`, await render(song.timeline, "csv")]);
    onSaved(await zipOf(files));
  }
}

function stateOf(song, place) {
  if (song.state === "waiting") return text.isWaiting(place);
  if (song.state === "running") return song.share ? percent(song.share) : text.recognizing;
  if (song.state === "failed") return song.error.message;
  const { dominant, overall, thresholds } = song.result.summary;
  if (thresholds) return inWords(songLabels(song.result.summary).join("|"), text.timeline);
  const { first, second, isUnsure } = ranked(song.result.summary);
  const name = (label) => inWords(label, text.timeline);
  return isUnsure ? text.unsure(name(first[0]), name(second[0])) : `${name(dominant)} ${percent(overall[dominant])}`;
}

/** The files in a drop or a choice, those in its folders too, in the order of their names; no hidden ones. */
export async function filesIn(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry);
  const files = entries.some((entry) => entry.isDirectory)
    ? (await Promise.all(entries.map(filesUnder))).flat().filter(({ name, type }) => isSong(name, type))
    : [...transfer.files];
  return files.filter(({ name }) => !name.startsWith("."));
}

async function filesUnder(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const [reader, found] = [entry.createReader(), []];
  const more = () => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  for (let entries = await more(); entries.length; entries = await more()) found.push(...entries); // some at a time
  found.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  return (await Promise.all(found.map(filesUnder))).flat();
}

function isSong(name, type) {
  return /^(audio|video)\//.test(type) || /\.(wma|opus|flac|aiff?|au|caf|mka|ape|wv)$/i.test(name);
}
