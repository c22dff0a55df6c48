/* A song, and what a model made of it. */

import { answered, ask, LiveTimeline, Problem, streamTimeline } from "./service.js";
import { text } from "./strings.js";

const PROBE_MS = 2000;

/**
 * A song from a file, or from a link that the service follows, or with nothing but a timeline (an example, a shared link).
 *
 * Its `result` is { model, classes, seconds, summary }: the seconds as Timeline.to_dict() writes them, with `peaks` where
 * they are known, and the summary once all of them are there. `peaks` is the outline of all of the sound.
 */
export class Song {
  constructor({ file = null, url = null, name, result = null, soundUrl = null }) {
    Object.assign(this, { file, url, result, soundUrl, title: url ? name : name.replace(/\.[^.]*$/, "") });
    this.state = result ? "done" : "waiting"; // then "running", and "done" or "failed"
    this.error = null;
    this.share = 0; // of it that has been recognized
    this.peaks = null;
    this.durationS = result?.summary.duration_s ?? null;
    this.abort = new AbortController();
  }

  /** The timeline as the service writes it. */
  get timeline() {
    return { ...this.result.summary, seconds: this.result.seconds.map(({ peaks, ...second }) => second) };
  }

  /** Have a model recognize it. `onChange` gets "start", "seconds" (with them) and "done". Throws as streamTimeline does. */
  async recognize(model, limits, onChange) {
    this.abort.abort();
    const { signal } = (this.abort = new AbortController());
    const before = this.result;
    Object.assign(this, { state: "running", error: null, share: 0 });
    try {
      if (this.soundUrl && !this.file) await this.loadSound();
      await this._check(limits);
      signal.throwIfAborted();
      for await (const [event, data] of streamTimeline(this._request(model), signal)) {
        this._take(event, data);
        onChange(event, data);
      }
    } catch (error) {
      if (signal.aborted) throw error;
      Object.assign(this, { state: "failed", error });
      if (!this.result?.seconds.length) this.result = before;
      throw error;
    }
  }

  /** Have it recognized while it is recorded. Returns a LiveTimeline; `onChange` gets its events. */
  listen(rateHz, model, onChange) {
    return new LiveTimeline(rateHz, model, (event, data) => {
      this._take(event, data);
      onChange(event, data);
    });
  }

  /** Get the sound of an example into `file`. */
  async loadSound() {
    const blob = await (await answered(fetch(this.soundUrl))).blob(); // whole: a browser seeks in nothing less
    this.file ??= new File([blob], `${this.title}.mp3`, { type: blob.type });
  }

  _take(event, data) {
    if (event === "start") {
      this.result = { ...data, seconds: [], summary: null };
      if (this.url) this.title = data.title || this.title;
    } else if (event === "second") this._add(data);
    else {
      this.result.summary = data;
      Object.assign(this, { state: "done", share: 1, durationS: data.duration_s });
    }
  }

  _add(second) {
    const i = Math.round(second.start_s); // a second comes again when all of the song is known, then without its peaks
    const { peaks } = this.result.seconds[i] ?? {};
    this.result.seconds[i] = peaks ? { peaks, ...second } : second;
    if (this.durationS) this.share = Math.max(this.share, Math.min(1, second.end_s / this.durationS));
  }

  async _check({ max_bytes: mostBytes, max_duration_s: mostS }) {
    if (this.file?.size > mostBytes) throw new Problem(text.tooLarge(this.file.name, mostBytes / 1e6));
    this.durationS ??= this.file && (await lengthOf(this.file));
    if (this.durationS > mostS) throw new Problem(text.tooLong(this.file.name, Math.round(mostS / 60)));
  }

  _request(model) {
    if (this.url) return JSON.stringify({ url: this.url, model });
    const form = new FormData();
    form.append("model", model);
    form.append("file", this.file, this.file.name);
    return form;
  }
}

/** An example of the service's: recognized already, its sound to be had at `soundUrl`. */
export async function exampleSong({ name, title }) {
  const { seconds, ...summary } = await ask(`v1/examples/${name}/timeline`);
  const result = { model: summary.model, classes: summary.classes, seconds, summary };
  const song = new Song({ name: text.pieces[name] ?? title, result, soundUrl: `v1/examples/${name}` });
  song.isComposed = true;
  return song;
}

/** How many seconds a file's header says it lasts, or null if this browser does not know soon. */
function lengthOf(file) {
  const probe = new Audio();
  probe.preload = "metadata";
  probe.src = URL.createObjectURL(file);
  return new Promise((resolve) => {
    const end = (durationS) => {
      URL.revokeObjectURL(probe.src);
      resolve(Number.isFinite(durationS) ? durationS : null);
    };
    probe.addEventListener("loadedmetadata", () => end(probe.duration));
    probe.addEventListener("error", () => end(null));
    setTimeout(end, PROBE_MS, null);
  });
}

/** The dominant class and the next one, each as [label, mean probability], and whether they are too close to name one. */
export function ranked({ overall, dominant, unsure_margin: margin = 0 }) {
  const classes = Object.entries(overall).sort((a, b) => b[1] - a[1]);
  const first = classes.find(([label]) => label === dominant); // none if there is nothing but silence
  const second = classes.find(([label]) => label !== dominant);
  return { first, second, isUnsure: Boolean(first && second && first[1] - second[1] < margin) };
}
