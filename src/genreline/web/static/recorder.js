/* Recording from the microphone: into a file, and meanwhile into pieces of a few seconds that can be recognized at once. */

import { text } from "./strings.js";

const MOST_MS = 600_000; // ends a forgotten recording
const PIECE_S = 3;
const PROBLEMS = { NotFoundError: "noMicrophone", NotAllowedError: "deniedMicrophone" };

/**
 * A button that records while it is pressed in.
 *
 * `onStart()`; then `onLevel(level, second)` about ten times a second, the level from 0 to 1, and `onPiece(file, start_s)`
 * for every PIECE_S seconds, a WAV file; at last `onFile(file)`, the whole recording. `onProblem` gets a sentence.
 */
export function recordWith(button, { onStart, onLevel, onPiece, onFile, onProblem }) {
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
      recording = record(stream);
      onStart();
      await listen(stream, recording);
    } catch (error) {
      release(stream);
      if (!recording) onProblem(text[PROBLEMS[error.name]] ?? text.brokenMicrophone(error.name));
    } finally {
      asking = false;
    }
    showPressed(recording !== null);
  });

  /** A recorder of the stream, started. */
  function record(stream) {
    const pieces = [];
    const mine = new MediaRecorder(stream);
    mine.addEventListener("dataavailable", (event) => pieces.push(event.data));
    mine.addEventListener("stop", () => {
      clearTimeout(forgotten);
      release(stream);
      recording = null;
      showPressed(false);
      onFile(new File(pieces, `recording.${mine.mimeType.includes("mp4") ? "mp4" : "webm"}`, { type: mine.mimeType }));
    });
    mine.start();
    const forgotten = setTimeout(() => mine.stop(), MOST_MS);
    return mine;
  }

  /** Give level and pieces while the recorder runs. */
  async function listen(stream, recorder) {
    const context = new AudioContext();
    recorder.addEventListener("stop", () => context.close());
    await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
    const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    const pieceLength = PIECE_S * context.sampleRate;
    let samples = [];
    let length = 0;
    let piece = 0;
    capture.port.onmessage = ({ data }) => {
      samples.push(data);
      length += data.length;
      onLevel(levelOf(data), piece * PIECE_S + length / context.sampleRate);
      if (length < pieceLength) return;
      const all = joined(samples, length);
      onPiece(wavOf(all.subarray(0, pieceLength), context.sampleRate), piece++ * PIECE_S);
      samples = [all.slice(pieceLength)];
      length -= pieceLength;
    };
    context.createMediaStreamSource(stream).connect(capture);
  }
}

/** The loudness of samples from 0 (-60 dB or less) to 1. */
function levelOf(samples) {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  return Math.min(Math.max(0, 1 + (10 * Math.log10(power + 1e-12)) / 60), 1);
}

function joined(pieces, length) {
  const all = new Float32Array(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** Mono samples as a WAV file of 16 bits. */
function wavOf(samples, rateHz) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const write = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  write(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  write(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // the format's length; then PCM, one channel
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rateHz, true);
  view.setUint32(28, 2 * rateHz, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  write(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, i) => view.setInt16(44 + 2 * i, 32767 * Math.min(Math.max(-1, sample), 1), true));
  return new File([view], "recording.wav", { type: "audio/wav" });
}

function release(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
