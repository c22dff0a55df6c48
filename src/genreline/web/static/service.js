/* The service's client: its models and limits, and a song's seconds as they are recognized. */

import { text as strings } from "./strings.js";

/** A problem that the service reports, in one sentence. */
export class Problem extends Error {}

/** The JSON that a path of the service answers with. */
export async function ask(path) {
  return (await answered(fetch(path))).json();
}

/**
 * The events of a song as they come: ["start" | "second" | "done", data]. Throws a Problem that the
 * service reports, and what `fetch` throws (AbortError, if the signal aborts).
 */
export async function* streamTimeline(body, signal) {
  const headers = { Accept: "text/event-stream" };
  const isLink = typeof body === "string";
  if (isLink) headers["Content-Type"] = "application/json";
  const path = isLink ? "v1/timeline/url" : "v1/timeline";
  const response = await answered(fetch(path, { method: "POST", body, headers, signal }));
  let text = "";
  for await (const piece of pieces(response.body)) {
    const events = (text + piece).split("\n\n");
    text = events.pop();
    for (const event of events.filter((each) => each.startsWith("event: "))) {
      const [name, data] = event.split("\n", 2);
      const parsed = JSON.parse(data.slice("data: ".length));
      if (name === "event: error") throw new Problem(parsed.detail);
      yield [name.slice("event: ".length), parsed];
      if (name === "event: done") return;
    }
  }
  throw new Problem(strings.cut);
}

/** A recording that the service recognizes while it is made. `onEvent` gets what `streamTimeline` yields. */
export class LiveTimeline {
  constructor(rateHz, model, onEvent) {
    const address = new URL(`v1/live?${new URLSearchParams({ rate_hz: rateHz, model })}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    this._socket = new WebSocket(address);
    this._early = []; // what is to be sent when the connection is there
    this._socket.addEventListener("open", () => this._early.splice(0).forEach((data) => this._socket.send(data)));
    /** Fulfilled after "done"; rejected with a Problem. */
    this.done = new Promise((resolve, reject) => {
      this._socket.addEventListener("message", (message) => {
        const { event, data } = JSON.parse(message.data);
        if (event === "error") return void reject(new Problem(data.detail));
        onEvent(event, data);
        if (event === "done") resolve();
      });
      this._socket.addEventListener("close", () => reject(new Problem(strings.cut)));
    });
  }

  /** Send samples, an Int16Array, or "end". */
  send(data) {
    if (this._socket.readyState === WebSocket.CONNECTING) this._early.push(data);
    else if (this._socket.readyState === WebSocket.OPEN) this._socket.send(data);
  }
}

/** A timeline, as the service writes it, in another format, as a Blob. */
export async function render(timeline, format) {
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify(timeline);
  return (await answered(fetch(`v1/render?format=${format}`, { method: "POST", body, headers }))).blob();
}

/** The player, a Blob of HTML, with the sound in it: the browser has the sound, so nothing is uploaded. */
export async function withSound(page, file) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
  const type = /^[\w.+-]+\/[\w.+-]+$/.test(file.type) ? file.type : "audio/mpeg";
  const empty = 'id="audio" data-type="">';
  const [before, after] = (await page.text()).split(empty);
  return new Blob([before, `id="audio" data-type="${type}">`, url.slice(url.indexOf(",") + 1), after], { type: "text/html" });
}

async function* pieces(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
  } catch (error) {
    throw error.name === "AbortError" ? error : new Problem(strings.cut);
  }
}

/** The response of a `fetch`; throws a Problem unless its status is a success. */
export async function answered(request) {
  let response;
  try {
    response = await request;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(navigator.onLine ? strings.unreachable : strings.offline);
  }
  if (response.ok) return response;
  const isProblem = response.headers.get("Content-Type") === "application/problem+json";
  throw new Problem(isProblem ? (await response.json()).detail : strings.answered(response.status));
}
