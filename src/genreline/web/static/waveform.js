/* The outline of a sound over time, on a canvas that lies over the timeline and has its width. */

const PEAKS_PER_S = 10;
const MOST_BYTES = 40e6; // beyond it, decoding takes a phone's memory; the service sends the outline with each second

/** The outline of a sound file, as far as this browser can decode it; null if it cannot. */
export async function outline(file) {
  if (file.size > MOST_BYTES) return null;
  try {
    const sound = await new OfflineAudioContext(1, 1, 8000).decodeAudioData(await file.arrayBuffer());
    const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
    const step = sound.sampleRate / PEAKS_PER_S;
    const peaks = new Float32Array(Math.ceil(sound.length / step));
    for (let i = 0; i < sound.length; i++) {
      let sample = 0;
      for (const channel of channels) sample += channel[i];
      const peak = Math.floor(i / step);
      peaks[peak] = Math.max(peaks[peak], Math.abs(sample) / channels.length);
    }
    return peaks;
  } catch {
    return null;
  }
}

export class Waveform {
  /** `over` is the element whose left edge and width the canvas takes, within the same parent. */
  constructor(canvas, onSeek) {
    this._canvas = canvas;
    this._peaks = [];
    this._durationS = 1;
    this._cursorS = 0;
    this._frame = 0;
    const seek = (event) => {
      const box = canvas.getBoundingClientRect();
      onSeek(Math.min(Math.max(0, (event.clientX - box.left) / box.width), 1) * this._durationS);
    };
    canvas.addEventListener("pointerdown", seek);
    canvas.addEventListener("pointermove", (event) => event.buttons === 1 && seek(event));
    new ResizeObserver(() => this._redraw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this._redraw());
  }

  /** Lie exactly over an element that is drawn below in the same parent. */
  alignTo(element) {
    const align = () => {
      const [own, box] = [this._canvas.parentElement.getBoundingClientRect(), element.getBoundingClientRect()];
      this._canvas.style.marginLeft = `${box.left - own.left}px`;
      this._canvas.style.width = `${box.width}px`;
    };
    new ResizeObserver(align).observe(element);
    align();
  }

  clear() {
    this._peaks = [];
    this.setCursor(0);
  }

  setPeaks(peaks) {
    this._peaks = Array.from(peaks);
    this._redraw();
  }

  /** The outline of one second, as the service sends it. */
  addSecond(startS, peaks) {
    peaks.forEach((peak, i) => (this._peaks[startS * PEAKS_PER_S + i] = peak));
    this._redraw();
  }

  setDuration(durationS) {
    this._durationS = durationS;
    this._redraw();
  }

  setCursor(second) {
    this._cursorS = second;
    this._redraw();
  }

  _redraw() {
    this._frame ||= requestAnimationFrame(() => {
      this._frame = 0;
      this._draw();
    });
  }

  _draw() {
    const ratio = devicePixelRatio || 1;
    const [width, height] = [this._canvas.clientWidth, this._canvas.clientHeight];
    if (!width) return;
    this._canvas.width = width * ratio;
    this._canvas.height = height * ratio;
    const context = this._canvas.getContext("2d");
    const colours = getComputedStyle(this._canvas);
    const colour = (name) => colours.getPropertyValue(`--timeline-${name}`);
    context.scale(ratio, ratio);
    const loudest = this._peaks.reduce((most, peak) => Math.max(most, peak || 0), 0.05); // too many to be arguments
    const step = 3; // a bar of two pixels and a gap
    for (let x = 0; x < width; x += step) {
      const from = Math.floor((x / width) * this._durationS * PEAKS_PER_S);
      const to = Math.max(from + 1, Math.floor(((x + step) / width) * this._durationS * PEAKS_PER_S));
      let peak = 0;
      for (let i = from; i < to && i < this._peaks.length; i++) peak = Math.max(peak, this._peaks[i] || 0);
      const size = Math.max(1, (peak / loudest) * (height - 4));
      context.fillStyle = colour((x / width) * this._durationS < this._cursorS ? "winner" : "bars");
      context.fillRect(x, (height - size) / 2, 2, size);
    }
    context.fillStyle = colour("cursor");
    context.fillRect((this._cursorS / this._durationS) * width - 1.5, 0, 3, height);
  }
}
