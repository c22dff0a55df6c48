/* Recording from the microphone into a file. */

const MOST_MS = 600_000; // a recording that somebody has forgotten ends

/** A button that records while it is pressed in; `onFile` gets the recording, `onTell` what is going on. */
export function recordWith(button, onFile, onTell, onProblem) {
  let recorder = null;
  if (!navigator.mediaDevices || !window.MediaRecorder) {
    button.disabled = true;
    button.title = "This browser gives the microphone only to pages that come by https.";
    return;
  }
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", async () => {
    if (recorder) {
      recorder.stop();
      return;
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (error) {
      onProblem(`the microphone cannot be used (${error.name}); allow it in the browser's settings`);
      return;
    }
    const pieces = [];
    recorder = new MediaRecorder(stream);
    recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
    recorder.addEventListener("stop", () => {
      for (const track of stream.getTracks()) track.stop();
      const type = recorder.mimeType;
      recorder = null;
      button.textContent = "Record";
      button.setAttribute("aria-pressed", "false");
      onFile(new File(pieces, `recording.${type.includes("mp4") ? "mp4" : "webm"}`, { type }));
    });
    recorder.start();
    const forgotten = setTimeout(() => recorder?.stop(), MOST_MS);
    recorder.addEventListener("stop", () => clearTimeout(forgotten));
    button.textContent = "Stop";
    button.setAttribute("aria-pressed", "true");
    onTell("Recording. Press Stop to hear what it is.");
  });
}
