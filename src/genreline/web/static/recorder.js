/* Recording from the microphone: into a file, and meanwhile as samples that can be recognized at once. */

import { text } from "./strings.js";

const MOST_MINUTES = 10; // ends a forgotten recording
const PROBLEMS = { NotFoundError: "noMicrophone", NotAllowedError: "deniedMicrophone" };

/**
 * A button that records while it is pressed in.
 *
 * `onStart(rate_hz)`; then, about ten times a second, `onSamples(samples, level, second)`: Int16Array, mono; how loud they
 * are from 0 to 1; and when they end. At last `onFile(file, minutes)`, the whole recording, with its minutes if it ended by
 * itself, after so many, or else 0. `onProblem` gets a sentence.
 */
export function recordWith(button, { onStart, onSamples, onFile, onProblem }) {
  let recording = null;
  let asking = false; // for the microphone, which a second click must not do
  if (!navigator.mediaDevices || !window.MediaRecorder) {
    button.disabled = true;
    button.title = text.insecureMicrophone;
    return;
  }
  const showPressed = (pressed) => {
    button.textContent = pressed ? text.stop : text.record;
    button.setAttribute("aria-pressed", String(pressed));
  };
  showPressed(false);
  button.addEventListener("click", async () => {
    if (asking) return;
    if (recording) {
      recording.stop();
      return;
    }
    asking = true;
    let stream = null;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const context = await listen(stream);
      recording = record(stream, context);
      onStart(context.sampleRate);
    } catch (error) {
      release(stream);
      onProblem(text[PROBLEMS[error.name]] ?? text.brokenMicrophone(error.name));
    } finally {
      asking = false;
    }
    showPressed(recording !== null);
  });

  /** A recorder of the stream, started; the context goes with it. */
  function record(stream, context) {
    const pieces = [];
    let minutes = 0;
    const mine = new MediaRecorder(stream);
    mine.addEventListener("dataavailable", (event) => pieces.push(event.data));
    mine.addEventListener("stop", () => {
      clearTimeout(forgotten);
      release(stream);
      context.close();
      recording = null;
      showPressed(false);
      onFile(new File(pieces, `recording.${mine.mimeType.includes("mp4") ? "mp4" : "webm"}`, { type: mine.mimeType }), minutes);
    });
    mine.start();
    const forgotten = setTimeout(() => {
      minutes = MOST_MINUTES;
      mine.stop();
    }, 60_000 * MOST_MINUTES);
    return mine;
  }

  /** Give the stream's samples once it is recorded. */
  async function listen(stream) {
    const context = new AudioContext();
    try {
      await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
    } catch (error) {
      context.close();
      throw error;
    }
    const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    let length = 0;
    capture.port.onmessage = ({ data }) => {
      if (!recording) return;
      length += data.length;
      onSamples(Int16Array.from(data, (sample) => 32767 * clipped(sample, -1, 1)), levelOf(data), length / context.sampleRate);
    };
    context.createMediaStreamSource(stream).connect(capture);
    return context;
  }
}

/** The loudness of samples from 0 (-60 dB or less) to 1. */
function levelOf(samples) {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  return clipped(1 + (10 * Math.log10(power + 1e-12)) / 60, 0, 1);
}

function clipped(value, least, most) {
  return Math.min(Math.max(least, value), most);
}

function release(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
