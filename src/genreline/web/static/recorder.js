/* Recording from the microphone into a file. */

const MOST_MS = 600_000; // ends a forgotten recording

/** A button that records while it is pressed in; `onFile` gets the recording, `onStatus` the state in words. */
export function recordWith(button, onFile, onStatus, onProblem) {
  let recorder = null;
  let asking = false; // for the microphone, which a second click must not do
  if (!navigator.mediaDevices || !window.MediaRecorder) {
    button.disabled = true;
    button.title = "This browser allows the microphone only on pages served over https.";
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
      onProblem(`the microphone cannot be used (${error.name}); allow it in the browser's settings`);
      return;
    } finally {
      asking = false;
    }
    button.textContent = "Stop";
    button.setAttribute("aria-pressed", "true");
    onStatus("Recording. Press Stop to recognise it.");
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
      button.textContent = "Record";
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
