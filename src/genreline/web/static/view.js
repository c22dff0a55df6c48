/* The song that is shown: its title, verdict, timeline, legend and runs. */

import { outline } from "./outline.js";
import { Playback } from "./playback.js";
import { listRuns, markRuns } from "./runs.js";
import { SecondModel } from "./second.js";
import { bringToTop } from "./sight.js";
import { text } from "./strings.js";
import { Timeline } from "./timeline.js";
import { fillLegend, noteOf, verdictOf } from "./verdict.js";
import { formatTime } from "./words.js";

const byId = (id) => document.getElementById(id);

export class SongView {
  constructor() {
    this.song = null;
    this._frame = 0;
    const onSeek = (second) => this.playback.seek(second);
    this.timeline = new Timeline(byId("timeline"), {
      onSeek,
      onWindow: (fromS, windowS) => this.second.timeline?.setWindow(fromS, windowS),
      words: text.timeline,
      lanes: false,
    });
    this.second = new SecondModel(this.timeline, onSeek);
    this.playback = new Playback({
      audio: byId("audio"),
      button: byId("play"),
      clock: byId("clock"),
      volume: byId("volume"),
      onTime: (second) => {
        this.timeline.setCursor(second);
        this.second.timeline?.setCursor(second);
        this._markRun();
      },
      onUnplayable: () => this._showUnplayable(text.unplayable),
    });
    byId("progress").setAttribute("aria-label", text.progress);
    byId("level").setAttribute("aria-label", text.level);
    byId("audio").addEventListener("loadedmetadata", ({ target }) => {
      if (this.song && Number.isFinite(target.duration) && !this.song.result?.summary) this._setDuration(target.duration);
    });
    byId("raw").addEventListener("change", ({ target }) => {
      this.timeline.setRaw(target.checked);
      this.second.timeline?.setRaw(target.checked);
      this.second.update();
      this._listRuns();
    });
    byId("lanes").addEventListener("click", ({ currentTarget }) => {
      const open = currentTarget.getAttribute("aria-expanded") === "false";
      currentTarget.setAttribute("aria-expanded", String(open));
      this.timeline.showLanes(open);
      this.second.timeline?.showLanes(open);
    });
  }

  /** Show a song as far as it is recognized. */
  show(song) {
    this.song = song;
    byId("song").hidden = false;
    document.body.classList.add("has-song");
    if (!song.isRecording) this.showLevel(null);
    byId("unplayable").hidden = true;
    byId("play").disabled = !song.file;
    this.playback.load(song.file && URL.createObjectURL(song.file));
    if (song.soundUrl && !song.file) this._loadSound(song).catch(() => this._showUnplayable(text.unreachable));
    if (song.url) this._showUnplayable(text.linkPlays);
    byId("player").classList.toggle("silent", Boolean(song.url || song.isShared));
    this.second.show(song);
    this.restart();
    if (song.peaks) this.timeline.setPeaks(song.peaks);
    else if (song.file) this._outline(song);
    this._comeIntoSight();
  }

  /** Show how loud a recording is, and how long already; with null, that it has ended. */
  showLevel(level, second) {
    byId("level").hidden = level === null;
    byId("play").hidden = level !== null;
    if (level === null) return;
    byId("level").value = level;
    byId("clock").textContent = formatTime(second);
  }

  /** Show no song. */
  close() {
    this.song = null;
    this.second.show(null);
    byId("song").hidden = true;
    document.body.classList.remove("has-song");
  }

  /** Show what is known of the song now: after another model began, or failed, too. */
  restart() {
    const { result, state, durationS } = this.song;
    const { cursorS } = this.timeline;
    this._setTitle(this.song.title);
    this.timeline.setClasses(result?.classes ?? []);
    if (this.song.peaks) this.timeline.setPeaks(this.song.peaks);
    this._setDuration(durationS);
    byId("verdict").textContent = byId("note").textContent = "";
    byId("progress").hidden = (state !== "running" && state !== "waiting") || this.song.isRecording;
    byId("progress").removeAttribute("value");
    this._clearRuns();
    if (result) this.timeline.add(result.seconds);
    this.second.timeline?.setWindow(...this.timeline.window);
    this.second.update();
    if (result?.summary) this.finish();
    this.timeline.setCursor(this.playback.audio.currentTime || (this.song.url ? cursorS : 0));
    this._drawLegend();
  }

  /** More seconds have come. */
  add(seconds) {
    this.timeline.add(seconds);
    if (this.song.share) byId("progress").value = this.song.share;
    this._frame ||= requestAnimationFrame(() => {
      this._frame = 0;
      this._drawLegend();
    });
  }

  /** All seconds have come, or no more will. */
  finish() {
    const { summary } = this.song.result;
    byId("progress").hidden = true;
    byId("every-second").hidden = !this.timeline.hasRaw;
    if (!summary) return;
    if (this.song.file && !this.song.isComposed) this._setTitle(summary.title || this.song.title);
    this._setDuration(summary.duration_s);
    this.timeline.setSummary(summary);
    this._listRuns();
    this._showVerdict(summary);
    this._drawLegend();
    this.second.show(this.song); // a recording can be sent now
  }

  _setTitle(title) {
    byId("title").textContent = title;
    document.title = `${title} – genreline`;
  }

  _setDuration(durationS) {
    this.timeline.setDuration(durationS);
    this.playback.setDuration(durationS);
  }

  async _loadSound(song) {
    await song.loadSound();
    if (song !== this.song) return;
    const { cursorS } = this.timeline; // it may have been moved meanwhile
    byId("play").disabled = false;
    this.playback.load(URL.createObjectURL(song.file));
    this.playback.setDuration(song.durationS);
    this.playback.seek(cursorS);
  }

  async _outline(song) {
    song.peaks = await outline(song.file);
    if (song.peaks && song === this.song) this.timeline.setPeaks(song.peaks);
  }

  _showVerdict(summary) {
    byId("verdict").replaceChildren(...verdictOf(summary));
    byId("note").textContent = noteOf(summary);
  }

  _drawLegend() {
    fillLegend(byId("legend"), this.timeline);
  }

  _listRuns() {
    const { runs } = this.song.result.summary;
    const shown = byId("raw").checked ? this.timeline.runs() : runs;
    listRuns(byId("runs"), shown, this.timeline.looks, (second) => this._playFrom(second), text.timeline);
    this._markRun();
  }

  _clearRuns() {
    byId("runs").replaceChildren();
  }

  _playFrom(second) {
    this.playback.seek(second);
    this.playback.play();
  }

  _markRun() {
    markRuns(byId("runs"), this.timeline.cursorS);
  }

  _showUnplayable(sentence) {
    byId("player").classList.add("silent");
    byId("unplayable").textContent = sentence;
    byId("unplayable").hidden = false;
  }

  /** On a phone the timeline would begin to fill below what can be seen. */
  _comeIntoSight() {
    const { top } = byId("song").getBoundingClientRect();
    if (top < 0 || top > innerHeight / 3) bringToTop(byId("song"));
  }
}
