/* A second model beside the first: what it makes of the song that is shown, on the same scale and with the same cursor. */

import { runsOf } from "./ribbon.js";
import { Problem } from "./service.js";
import { bringToTop } from "./sight.js";
import { Song } from "./song.js";
import { text } from "./strings.js";
import { Timeline } from "./timeline.js";
import { fillLegend, verdictOf } from "./verdict.js";
import { percent, SILENCE } from "./words.js";

const byId = (id) => document.getElementById(id);

export class SecondModel {
  /** `first` is the song's own Timeline; `onSeek` gets a second of the song. */
  constructor(first, onSeek) {
    Object.assign(this, { first, timeline: null, _song: null, _twin: null, _limits: null, _onSeek: onSeek });
    byId("second-model").addEventListener("change", ({ target }) => this._choose(target.value));
  }

  /** Offer the models that the service has, if there is more than one; `options` are the page's, to be copied. */
  setModels(options, limits) {
    this._limits = limits;
    const choices = [...options].map((option) => option.cloneNode(true));
    byId("second-model").replaceChildren(new Option(text.noSecond, ""), ...choices);
    this.show(this._song);
  }

  /** Another song is shown, which no second model has recognized; or the same one, of which more is known. */
  show(song) {
    if (song !== this._song) this._choose("");
    this._song = song;
    const canBeSent = song && (song.file || song.url || song.soundUrl) && !song.isRecording;
    byId("comparing").hidden = !canBeSent || byId("second-model").options.length < 3; // "none" and one model
    this.update();
  }

  /** The first model has said more, or shows other labels than before. */
  update() {
    const [one, other] = [this._song?.result, this._twin?.result];
    for (const option of byId("second-model").options) option.disabled = option.value === one?.model && !option.selected;
    byId("first-model").textContent = one?.model ?? "";
    const isComplete = Boolean(one?.summary && other?.summary);
    const { different, share } = isComplete ? compare(one, other, byId("raw").checked ? "label_raw" : "label") : {};
    const spans = runsOf(one?.seconds ?? [], (second) => Boolean(different?.has(second))).filter((run) => run.label);
    for (const timeline of [this.first, this.timeline]) timeline?.setMarks(spans.map((span) => [span.start_s, span.end_s]));
    const sentence = Number.isFinite(share) ? text.agreement(one.model, other.model, percent(share)) : "";
    byId("agreement").textContent = spans.length ? sentence + text.disagreement : sentence;
  }

  async _choose(model) {
    this._twin?.abort.abort();
    this._twin = this.timeline = null;
    byId("second-model").value = model;
    byId("second").hidden = byId("first-model").hidden = !model;
    byId("song").classList.toggle("compared", Boolean(model));
    byId("second-name").textContent = model;
    byId("second-verdict").textContent = "";
    for (const part of ["second-timeline", "second-legend"]) byId(part).replaceChildren();
    this.update();
    if (!model) return;
    const { file, url, soundUrl, title } = this._song;
    const twin = (this._twin = new Song({ file, url, soundUrl, name: title }));
    const timeline = (this.timeline = this._makeTimeline(model));
    byId("second-verdict").textContent = url ? text.fetching : text.recognizing;
    if (byId("second-timeline").getBoundingClientRect().bottom > innerHeight) bringToTop(byId("first-model"));
    try {
      await twin.recognize(model, this._limits, (event, data) => {
        if (twin !== this._twin) return;
        if (event === "start") this._begin(data.classes);
        else if (event === "second") timeline.add([data]);
        else this._finish(data);
      });
    } catch (error) {
      if (twin === this._twin) this._fail(error);
    }
  }

  _makeTimeline(model) {
    const words = { ...text.timeline, timeline: `${text.timeline.timeline}, ${model}` };
    const onWindow = (fromS, windowS) => this.first.setWindow(fromS, windowS);
    const timeline = new Timeline(byId("second-timeline"), { onSeek: this._onSeek, onWindow, words, lanes: false });
    timeline.showLanes(byId("lanes").getAttribute("aria-expanded") === "true");
    return timeline;
  }

  _begin(classes) {
    const { first, timeline } = this;
    timeline.setClasses(classes);
    timeline.setDuration(first.durationS);
    timeline.setPeaks(first.peaks);
    timeline.setRaw(byId("raw").checked);
    timeline.setWindow(...first.window);
    timeline.setCursor(first.cursorS);
  }

  _finish(summary) {
    this.timeline.setDuration(summary.duration_s);
    this.timeline.setSummary(summary);
    fillLegend(byId("second-legend"), this.timeline);
    byId("second-verdict").replaceChildren(...verdictOf(summary));
    this.update();
  }

  /** Say why there is no second timeline; the first stays as it is. */
  _fail(error) {
    if (!(error instanceof Problem)) console.error(error);
    this.timeline = null;
    byId("second-timeline").replaceChildren();
    byId("second-verdict").textContent = error instanceof Problem ? error.message : text.broken;
  }
}

/**
 * Two results of one song: the first's seconds whose labels differ, as a Set, and on which share of the seconds they agree;
 * of those only in which both find sound. `key` is the label that counts, where a second has it.
 */
function compare(one, other, key) {
  const inOrder = (label) => label.split("|").sort().join("|"); // each model has an order of its own
  const labels = [one, other].map(({ seconds }) => seconds.map((second) => inOrder(second[key] ?? second.label)));
  const sounding = labels[0].flatMap((label, i) => ([label, labels[1][i] ?? SILENCE].includes(SILENCE) ? [] : [i]));
  const different = sounding.filter((i) => labels[0][i] !== labels[1][i]);
  return { different: new Set(different.map((i) => one.seconds[i])), share: 1 - different.length / sounding.length };
}
