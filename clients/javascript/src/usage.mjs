// Reports of usage: a queue with an end, sent in batches, kept until they were answered. An event that is sent twice
// counts once, so whatever is not known to have arrived is sent again.

import { backoff, bytesOf, call, pause, reasonOf, retryAfter, uuid } from "./http.mjs";

const LARGEST_BATCH = 500; // events
const LARGEST_BODY = 1_000_000; // characters
const LOOK_SECONDS = 0.05;
const UNREADABLE = "urn:tollkeeper:problem:malformed";

export class Usage {
  sent = 0;
  refused = 0; // answered with a reason why not
  dropped = 0; // for which there was no room
  failing = null;
  #settings;
  #queue = []; // { text, token }, the oldest first
  #batch = LARGEST_BATCH;
  #failures = 0;
  #tryAgainAt = 0;
  #busyUntil = 0;

  constructor(settings) {
    this.#settings = settings;
    try {
      for (const entry of settings.spool?.load() ?? []) this.#queue.push(entry);
    } catch (error) {
      settings.onProblem(`events of the last run cannot be read: ${error.message}`);
    }
  }

  get queued() {
    return this.#queue.length;
  }

  /** Queue an event; returns its id, null where that cannot be. `context.text` is left out: texts are not reported. */
  add(event) {
    const { maxEvents, onProblem } = this.#settings;
    if (this.#queue.length >= maxEvents) {
      if (this.dropped === 0) onProblem(`events are dropped: ${maxEvents} wait already`);
      this.dropped += 1;
      return null;
    }
    let id;
    let text;
    try {
      const { text: unsaid, ...context } = event.context ?? {};
      id = event.id ?? uuid();
      const time = event.time ?? new Date().toISOString();
      text = JSON.stringify({ ...event, id, time, context: event.context && context });
    } catch (error) {
      this.refused += 1;
      onProblem(`an event is refused: ${error.message}`);
      return null;
    }
    this.#queue.push({ text, token: this.#kept(text) });
    return id;
  }

  #kept(text) {
    const { spool, onProblem } = this.#settings;
    try {
      return spool?.add(text);
    } catch (error) {
      onProblem(`events cannot be kept for the next start: ${error.message}`);
      return undefined;
    }
  }

  /** Send what waits, for so many seconds at most; says whether nothing is left. Never throws. */
  async flush(seconds, { patient = false, signal } = {}) {
    const until = Date.now() + seconds * 1000;
    // Not by its promise: at the edge nobody may wait for what another request began.
    while (Date.now() < this.#busyUntil && Date.now() < until) await pause(LOOK_SECONDS, signal);
    if (Date.now() < this.#busyUntil) return this.#queue.length === 0;
    if (patient && Date.now() < this.#tryAgainAt) return this.#queue.length === 0;
    try {
      while (this.#queue.length > 0 && Date.now() < until && !signal?.aborted) {
        const left = (until - Date.now()) / 1000;
        this.#busyUntil = until;
        if (!(await this.#send(left, signal))) break;
      }
    } finally {
      this.#busyUntil = 0;
    }
    return this.#queue.length === 0;
  }

  /** Send one batch; false if there is no use in sending another one now. */
  async #send(seconds, signal) {
    const { fetch, base, key, onProblem } = this.#settings;
    const entries = this.#next();
    const request = {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${key}` },
      body: `[${entries.map(({ text }) => text).join(",")}]`,
      seconds,
      signal,
    };
    try {
      const { status, wait, said } = await call(fetch, new URL("api/v1/usage/events", base), request, read);
      // Only Tollkeeper's own word ends an event: a proxy's page says neither that it was kept nor what is wrong with it.
      if (status === 202 && Number.isInteger(said?.accepted)) this.#arrived(entries, said);
      else if (status === 413 || (status === 400 && said?.type === UNREADABLE)) this.#unreadable(entries, status);
      else throw Object.assign(new Error(`answered ${status}`), { retryAfter: wait });
      this.#failures = 0;
      this.failing = null;
      return true;
    } catch (error) {
      if (signal?.aborted) return false;
      this.#failures += 1;
      this.#tryAgainAt = Date.now() + backoff(this.#failures, error.retryAfter ?? 0) * 1000;
      const reason = reasonOf(error);
      if (reason !== this.failing) onProblem(`usage cannot be reported, it waits: ${reason}`);
      this.failing = reason;
      return false;
    }
  }

  #next() {
    const entries = [];
    let size = 0;
    for (const entry of this.#queue) {
      size += entry.text.length;
      if (entries.length >= this.#batch || (entries.length > 0 && size > LARGEST_BODY)) break;
      entries.push(entry);
    }
    return entries;
  }

  #arrived(entries, said) {
    const rejected = Array.isArray(said.rejected) ? said.rejected : [];
    const refused = entries.map((_, index) => rejected.find((one) => one?.index === index)).filter(Boolean);
    for (const { error } of refused.slice(0, 1)) this.#settings.onProblem(`an event is refused: ${error}`);
    this.refused += refused.length;
    this.sent += entries.length - refused.length;
    this.#batch = LARGEST_BATCH;
    this.#done(entries);
  }

  // A body that cannot be read stores nothing. Halves of it are sent until what is wrong stands alone.
  #unreadable(entries, status) {
    if (entries.length > 1) {
      this.#batch = Math.ceil(entries.length / 2);
      return;
    }
    this.refused += 1;
    this.#settings.onProblem(`an event is refused: answered ${status}`);
    this.#done(entries);
  }

  #done(entries) {
    this.#queue.splice(0, entries.length);
    for (const { token } of entries) {
      try {
        if (token !== undefined) this.#settings.spool.done(token);
      } catch {
        // It is sent again after the next start, and counts once.
      }
    }
  }
}

async function read(response) {
  let said = null;
  try {
    said = JSON.parse(new TextDecoder().decode(await bytesOf(response)));
  } catch {
    // The status alone says enough.
  }
  return { status: response.status, wait: retryAfter(response), said };
}
