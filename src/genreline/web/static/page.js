/* The page: choose songs, see them recognized, play them, and save their timelines. */

import { showExamples } from "./examples.js";
import { filesIn, MOST_SONGS, SongList } from "./list.js";
import { keepPage } from "./offline.js";
import { pictureOf } from "./picture.js";
import { recordWith } from "./recorder.js";
import { saveBlob, saveWith } from "./save.js";
import { answered, ask, Problem } from "./service.js";
import { fragmentOf, songIn } from "./share.js";
import { Song } from "./song.js";
import { text, translatePage } from "./strings.js";
import { SongView } from "./view.js";

const byId = (id) => document.getElementById(id);

translatePage();
const view = new SongView();
const list = new SongList({
  section: byId("songs"),
  list: byId("list"),
  saveButton: byId("save-all"),
  recognize,
  onShow: choose,
  onSaved: (archive) => showStatus(text.saved(saveBlob(archive, "genreline.zip"))),
  onError: showError,
});
let limits = null;
let recording = null; // { song, live } of the last recording

// Choosing ------------------------------------------------------------------------------------------------------------

async function prepare() {
  const examples = showExamples(byId("examples"), (song) => showReady(song, text.composed(song.result.model)));
  const [models, bounds] = await Promise.all([ask("v1/models"), ask("v1/limits")]);
  limits = bounds;
  const nameOf = (name) => (name.startsWith("composed") ? text.composedOnly(name) : name);
  byId("model").replaceChildren(...models.map(({ name }) => new Option(nameOf(name), name)));
  byId("model").value = models.find((model) => model.default).name;
  view.second.setModels(byId("model").options, limits);
  byId("bounds").textContent = text.bounds(Math.round(limits.max_duration_s / 60), Math.round(limits.max_bytes / 1e6));
  byId("link").hidden = !limits.urls;
  await examples;
  keepPage().catch(() => {}); // a browser may forbid it
}

byId("file").addEventListener("change", (event) => {
  open([...event.target.files]);
  event.target.value = ""; // so that the same file can be chosen again
});

for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(type, async (event) => {
    const isFile = event.dataTransfer.types.includes("Files");
    if (!isFile && event.target.closest?.("input[type=url]")) return; // which takes text
    event.preventDefault();
    document.body.classList.toggle("dropping", type === "dragenter" || type === "dragover");
    if (type !== "drop") return;
    const isLink = event.dataTransfer.types.includes("text/uri-list");
    const link = event.dataTransfer.getData("URL");
    const files = await filesIn(event.dataTransfer);
    if (files.length) open(files);
    else if (link && limits?.urls) openLink(link);
    else showError(new Problem(isLink ? text.droppedLink : text.noFiles));
  });
}

byId("link").addEventListener("submit", (event) => {
  event.preventDefault();
  openLink(byId("url").value);
});

recordWith(byId("record"), {
  onStart: (rateHz) => startRecording(rateHz),
  onSamples(samples, level, second) {
    recording.live.send(samples);
    if (recording.song === view.song) view.showLevel(level, second);
  },
  onFile: (file, minutes) => endRecording(file, minutes),
  onProblem: (sentence) => showError(new Problem(sentence)),
});

byId("model").addEventListener("change", () => {
  const { song } = view;
  if (song && !song.isShared && !song.isRecording) recognize(song);
});

byId("about").addEventListener("click", async () => {
  try {
    const response = await answered(fetch(`v1/models/${encodeURIComponent(byId("model").value)}/card`));
    const card = new DOMParser().parseFromString(await response.text(), "text/html");
    byId("card-text").replaceChildren(...card.body.childNodes);
    byId("card").showModal();
  } catch (error) {
    showError(error);
  }
});

function open(files) {
  return start(files.map((file) => new Song({ file, name: file.name })));
}

function openLink(url) {
  return start([new Song({ url, name: url })]);
}

/** Show a song that is recognized already. */
function showReady(song, status) {
  showError(null);
  show(song);
  list.update(song);
  setDownloads(true);
  showStatus(status);
}

/** Show a song, whose link is not the one in the address bar. */
function show(song) {
  if (location.hash && !song.isShared) history.replaceState(null, "", location.pathname);
  view.show(song);
}

// Recognizing ---------------------------------------------------------------------------------------------------------

/** Take songs into the list, show the first of them, and have all recognized. */
async function start(songs) {
  if (!limits) await ready; // a song was chosen before the service answered
  if (!limits || !songs.length) return;
  showError(null);
  const taken = list.take(songs);
  for (const song of taken) if (song !== view.song) song.before ??= view.song;
  if (taken.length) show(taken[0]);
  list.begin();
  list.update(view.song);
  if (taken.length < songs.length) showError(new Problem(text.tooManySongs(MOST_SONGS)));
}

async function recognize(song) {
  if (song === view.song) {
    showError(null);
    setDownloads(false);
    showStatus(song.url ? text.fetching : text.recognizing);
  }
  try {
    await song.recognize(byId("model").value, limits, (event, data) => {
      if (event !== "second" || song !== view.song) list.update(view.song);
      if (song !== view.song) return;
      if (event === "start") view.restart();
      else if (event === "second") view.add([data]);
      else finish(song);
    });
  } catch (error) {
    if (song.state === "failed" && song === view.song) fail(song, error);
  }
  list.update(view.song);
}

/** Show a recording, and have it recognized as it is made. */
function startRecording(rateHz) {
  const song = Object.assign(new Song({ name: text.recordingTitle }), { isRecording: true, isRecorded: true });
  view.playback.audio.pause();
  song.before = view.song;
  show(song);
  showError(null);
  setDownloads(false);
  showStatus(text.recording);
  const live = song.listen(rateHz, byId("model").value, (event, data) => {
    if (song !== view.song) return;
    if (event === "start") view.restart();
    else if (event === "second") {
      view.add([data]);
      if (song.isRecording) view.timeline.setCursor(data.end_s - 0.01);
    }
  });
  live.done.catch(() => {}); // the whole recording is sent in the end if this fails
  recording = { song, live };
}

/** Show the whole recording, of so many minutes if it ended by itself. */
async function endRecording(file, minutes) {
  const { song, live } = recording;
  Object.assign(song, { file, isRecording: false });
  view.showLevel(null);
  live.send("end");
  try {
    await live.done;
    song.result.summary.title = song.title; // in the page's language
    list.take([song]);
    list.update(view.song);
    if (view.song === song) choose(song);
  } catch {
    song.state = "waiting";
    await start([song]);
  }
  if (minutes) showError(new Problem(text.recordingFull(minutes)));
}

/** Show a song of the list. */
function choose(song) {
  show(song);
  showError(song.error);
  setDownloads(song.state === "done");
  showStatus(song.state === "done" ? text.complete(song.result.model) : "");
  list.update(song);
}

function finish(song) {
  view.finish();
  const { model, summary } = song.result;
  showStatus(text.complete(model));
  if (summary.incomplete) showError(new Problem(summary.incomplete)); // the song ended early, or was too long
  setDownloads(true);
}

/** Say why a song was not recognized. If nothing came of it, the song that was shown before comes back. */
function fail(song, error) {
  let shown = song;
  while (shown && !shown.result && shown.state === "failed") shown = shown.before;
  if (!shown) view.close();
  else if (shown === song) view.restart();
  else view.show(shown);
  setDownloads(Boolean(shown?.result?.summary));
  showError(error, shown && shown !== song ? text.kept(shown.title) : "");
}

// Saving and showing --------------------------------------------------------------------------------------------------

saveWith(byId("downloads"), () => view.song, (name) => showStatus(text.saved(name)), showError);

byId("copy-link").addEventListener("click", async () => {
  try {
    history.replaceState(null, "", await fragmentOf(view.song));
    const isCopied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
    showStatus(isCopied ? text.linkCopied : text.linkShown);
  } catch (error) {
    showError(error);
  }
});

byId("picture").addEventListener("click", async () => {
  const { song } = view;
  showStatus(text.saved(saveBlob(await pictureOf(song, view.timeline, byId("verdict").textContent), `${song.title}.png`)));
});

async function showShared() {
  try {
    const song = await songIn(location.hash);
    if (song) showReady(song, text.shared(song.result.model));
  } catch (error) {
    showError(error);
  }
}

addEventListener("hashchange", showShared);
showShared();

function setDownloads(ready) {
  for (const button of document.querySelectorAll("#downloads button, #share button")) button.disabled = !ready;
}

function showStatus(sentence) {
  byId("status").textContent = sentence;
}

/** Show an error, or with null that there is none any more. */
function showError(error, more = "") {
  if (error && !(error instanceof Problem)) console.error(error);
  if (error) showStatus("");
  const sentence = error instanceof Problem ? error.message : text.broken;
  const stop = more && !/[.!;]$/.test(sentence) ? "." : "";
  byId("error").textContent = error ? `${sentence}${stop} ${more}`.trim() : "";
}

setDownloads(false);
const ready = prepare().catch((error) => {
  showError(error.message === text.unreachable ? new Problem(text.serviceAway) : error);
  const again = document.createElement("button");
  again.textContent = text.tryAgain;
  again.addEventListener("click", () => location.reload());
  byId("error").append(" ", again);
});
