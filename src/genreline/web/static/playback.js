/* The sound of the song that is shown: one button, one clock, one place in time. */

import { text } from "./strings.js";
import { formatTime } from "./words.js";

const OWN_USE_OF_SPACE = "input:not([type=range]), textarea, select, button, a, [contenteditable]";

export class Playback {
  /** `onTime` gets the place in seconds, with every frame while it plays. */
  constructor({ audio, button, clock, volume, onTime, onUnplayable }) {
    Object.assign(this, { audio, _button: button, _clock: clock, _onTime: onTime });
    this._frame = 0; // the next one that is asked for: however many events begin to follow, there is one
    this._durationS = null;
    const follow = () => this._showTime();
    this._follow = follow;
    for (const event of ["play", "seeked", "pause"]) audio.addEventListener(event, this._follow);
    for (const event of ["play", "pause"]) audio.addEventListener(event, () => this._showState());
    audio.addEventListener("error", () => audio.getAttribute("src") && onUnplayable());
    button.addEventListener("click", () => this.toggle());
    volume.addEventListener("input", () => (audio.volume = Number(volume.value)));
    document.addEventListener("keydown", (event) => this._onKey(event));
    document.addEventListener("click", (event) => {
      if (event.detail) event.target.closest("button, [type=checkbox]")?.blur(); // the next space bar is for the sound
    });
    this._showState();
  }

  /** Take another sound: an address, or null for none. */
  load(address) {
    if (this._address?.startsWith("blob:")) URL.revokeObjectURL(this._address);
    this._address = address;
    if (address) this.audio.src = address;
    else {
      this.audio.removeAttribute("src");
      this.audio.load();
    }
    this._durationS = null;
    this._showTime();
  }

  setDuration(durationS) {
    this._durationS = durationS;
    this._showClock();
  }

  seek(second) {
    if (this._address) this.audio.currentTime = second; // of a sound that is not there yet, where it will begin
    else this._onTime(second);
    this._showClock();
  }

  play() {
    if (this._address) this.audio.play().catch(() => {}); // a pause, or another song, came first
  }

  toggle() {
    if (this.audio.paused) this.play();
    else this.audio.pause();
  }

  _showTime() {
    this._onTime(this.audio.currentTime);
    this._showClock();
    cancelAnimationFrame(this._frame);
    if (!this.audio.paused) this._frame = requestAnimationFrame(this._follow);
  }

  _showClock() {
    const whole = this._durationS ? ` / ${formatTime(this._durationS)}` : "";
    const clock = `${formatTime(this.audio.currentTime)}${whole}`;
    if (this._clock.textContent !== clock) this._clock.textContent = clock;
  }

  _showState() {
    const isPlaying = !this.audio.paused;
    this._button.classList.toggle("playing", isPlaying);
    this._button.setAttribute("aria-label", isPlaying ? text.pause : text.play);
  }

  /** The space bar plays and pauses anywhere but in what has a use for it. */
  _onKey(event) {
    if (event.key !== " " || event.ctrlKey || event.metaKey || event.altKey || !this._address) return;
    if (event.target.closest(OWN_USE_OF_SPACE) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    if (!event.repeat) this.toggle();
  }
}
