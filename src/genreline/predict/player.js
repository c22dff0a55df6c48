/* The player's page: a sound, its timeline, and the list of its runs. It follows the renderer in the same module. */

const song = JSON.parse(document.getElementById("song").textContent);
const sound = document.getElementById("sound");
const list = document.getElementById("runs");
const view = new Timeline(document.getElementById("timeline"), {
  classes: song.classes,
  durationS: song.duration_s,
  onSeek: (second) => {
    sound.currentTime = second;
    markRuns(list, second); // without a sound nothing else would
  },
});
view.add(song.seconds);
view.setSummary(song);
listRuns(list, song.runs, view.looks, (second) => {
  sound.currentTime = second;
  view.setCursor(second);
  if (sound.src) play();
});

function play() {
  sound.play().catch(() => {}); // a pause came first, or it cannot be played, which the error handler below reports
}

/** The sound's place, in the timeline and in the list. */
function follow() {
  view.setCursor(sound.currentTime);
  markRuns(list, sound.currentTime);
}

let frame = 0;

/** While the sound plays the cursor moves with every frame: timeupdate events come only four times a second. */
function followFrames() {
  follow();
  cancelAnimationFrame(frame); // a pause and a play within one frame would ask for two
  if (!sound.paused) frame = requestAnimationFrame(followFrames);
}

sound.addEventListener("play", followFrames);
for (const event of ["timeupdate", "seeking", "loadedmetadata"]) sound.addEventListener(event, follow);
sound.addEventListener("error", () => {
  const trouble = document.getElementById("trouble");
  trouble.textContent = "This browser cannot play the sound; the timeline is complete nevertheless.";
  trouble.hidden = false;
});

document.addEventListener("keydown", (event) => {
  const control = event.target.closest("button, a, input, audio"); // they have a use for the space bar themselves
  if (event.key !== " " || !sound.src || control || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (sound.paused) play();
  else sound.pause();
});

const audio = document.getElementById("audio");
if (audio.textContent) {
  // Through a blob, because browsers limit the length of data: addresses, and some cannot seek in them.
  const letters = atob(audio.textContent);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  const file = new Blob([bytes], { type: audio.dataset.type });
  sound.src = URL.createObjectURL(file);
  outline(file).then((peaks) => peaks && view.setPeaks(peaks));
} else sound.hidden = true; // a timeline without its sound
audio.remove();
