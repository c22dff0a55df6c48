/* Recording from the microphone into a file. */

import { text } from "./strings.js";

const MOST_MS = 600_000; // ends a forgotten recording
const PROBLEMS = { NotFoundError: "noMicrophone", NotAllowedError: "deniedMicrophone" };

/** A button that records while it is pressed in; `onFile` gets the recording, `onStatus` the state in words. */
export function recordWith(button, onFile, onStatus, onProblem) {
  let recorder = null;
  let asking = false; // for the microphone, which a second click must not do
  if (!navigator.mediaDevices || !window.MediaRecorder) {
    button.disabled = true;
    button.title = text.insecureMicrophone;
    return;
  }
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", async () => {
    if (asking) return;
    if (recorder) {
      recorder.stop();
      return;
    }
    asking = true;
    let stream = null;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      recorder = record(stream);
    } catch (error) {
      release(stream);
      onProblem(text[PROBLEMS[error.name]] ?? text.brokenMicrophone(error.name));
      return;
    } finally {
      asking = false;
    }
    button.textContent = text.stop;
    button.setAttribute("aria-pressed", "true");
    onStatus(text.recording);
  });

  /** A recorder of the stream, started. */
  function record(stream) {
    const pieces = [];
    const mine = new MediaRecorder(stream);
    mine.addEventListener("dataavailable", (event) => pieces.push(event.data));
    mine.addEventListener("stop", () => {
      clearTimeout(forgotten);
      release(stream);
      recorder = null;
      button.textContent = text.record;
      button.setAttribute("aria-pressed", "false");
      onFile(new File(pieces, `recording.${mine.mimeType.includes("mp4") ? "mp4" : "webm"}`, { type: mine.mimeType }));
    });
    mine.start();
    const forgotten = setTimeout(() => mine.stop(), MOST_MS);
    return mine;
  }
}

function release(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
