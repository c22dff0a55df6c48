/* What a microphone hears, as samples, for recorder.js; it runs where the browser processes sound. */

const FRAMES = 4096; // at a time, about ten times a second

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this._samples = new Float32Array(FRAMES);
    this._length = 0;
  }

  process([channels]) {
    for (let i = 0; i < (channels[0]?.length ?? 0); i++) {
      this._samples[this._length++] = channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length;
      if (this._length < FRAMES) continue;
      this.port.postMessage(this._samples.slice());
      this._length = 0;
    }
    return true;
  }
}

registerProcessor("capture", Capture);
