// The rules of one environment: fetched, checked, kept. What is good stays until something better came.

import { compile } from "./evaluator.mjs";
import { backoff, bytesOf, call, jittered, reasonOf, retryAfter } from "./http.mjs";
import { hash } from "./splits.mjs";
import { problemOf } from "./validator.mjs";

export const CLIENT = "tollkeeper-javascript/1.0";
const SPEC = 1;
const AT_ONCE_SECONDS = 1; // an answer that came sooner did not wait, whatever it says
const REASON_CHARACTERS = 300;
const OUR_TAG = /^(?:W\/)?"([0-9]+\.[0-9]+)(?:-gzip)?"$/;

const pairOf = (tag) => OUR_TAG.exec(tag ?? "")?.[1] ?? null;

/** A document that is not run. `rereads` says that another try may bring a better one. */
class Refused extends Error {
  constructor(message, { rereads = false } = {}) {
    super(message);
    this.rereads = rereads;
  }
}

export class Polling {
  rules = null;
  source = "none";
  heardAt = null; // when the server last said what holds, in milliseconds
  failing = null;
  rejected = null; // { pair, tag, reason }; its tag is named in polls, so that it is not sent again
  #settings;
  #tag = null;
  #failures = 0;
  #loaded = false;
  #busyUntil = 0;

  constructor(settings) {
    this.#settings = settings;
  }

  /** Read what was kept, once. What is damaged is passed over. */
  async load() {
    if (this.#loaded) return;
    this.#loaded = true;
    const { storage, onProblem } = this.#settings;
    try {
      const kept = await storage?.load();
      if (kept === null || kept === undefined || this.rules !== null) return;
      const { tag, signature, body } = opened(kept);
      this.rules = await this.#read(body, new TextEncoder().encode(body), signature);
      this.#tag = tag;
      this.source = "storage";
    } catch (error) {
      onProblem(`the rules that were kept cannot be used: ${error.message}`);
    }
  }

  /**
   * Ask once; returns how many seconds to wait before the next time. Never throws. Where another poll is under way and
   * there are rules it does nothing: at the edge nobody may wait for what another request began.
   */
  async poll({ wait = 0, signal } = {}) {
    const { pollSeconds, timeoutSeconds, onProblem } = this.#settings;
    const now = Date.now();
    if (this.rules !== null && now < this.#busyUntil) return pollSeconds;
    this.#busyUntil = now + (wait + timeoutSeconds) * 1000;
    let answer;
    try {
      answer = await this.#ask(wait, wait + timeoutSeconds, signal);
      this.#failures = 0;
      this.failing = null;
    } catch (error) {
      if (signal?.aborted) return pollSeconds;
      this.#failures += 1;
      const reason = reasonOf(error);
      if (reason !== this.failing) onProblem(`rules cannot be fetched, what is there goes on: ${reason}`);
      this.failing = reason;
      answer = { waits: error.waits, retryAfter: error.retryAfter ?? 0, failed: true };
    } finally {
      this.#busyUntil = 0;
    }
    const waited = Date.now() - now >= AT_ONCE_SECONDS * 1000;
    if (answer.waits && (waited || answer.changed)) return 0;
    return answer.failed ? backoff(this.#failures, answer.retryAfter) : jittered(pollSeconds);
  }

  #ask(wait, seconds, signal) {
    const { fetch, base, key, environment, instance } = this.#settings;
    const url = new URL(`api/v1/rules/${encodeURIComponent(environment)}`, base);
    const said = { instance: instance(), active: this.#active(), spec: String(SPEC), client: CLIENT };
    if (this.rejected?.pair) Object.assign(said, { rejected: this.rejected.pair, reason: this.rejected.reason });
    for (const [name, value] of Object.entries(said)) if (value) url.searchParams.set(name, value);
    const headers = { Accept: "application/json", Authorization: `Bearer ${key}` };
    const tags = [this.#tag, this.rejected?.tag].filter(Boolean);
    if (tags.length > 0) headers["If-None-Match"] = tags.join(", ");
    if (wait > 0) headers.Prefer = `wait=${wait}`;
    return call(fetch, url, { headers, seconds, signal }, (response) => this.#answered(response, tags));
  }

  #active() {
    return this.rules === null ? null : `${this.rules.version}.${this.rules.revision}`;
  }

  async #answered(response, named) {
    const waits = response.headers.get("Preference-Applied") !== null;
    if (response.status === 304 && (this.rules !== null || this.rejected?.tag)) {
      this.heardAt = Date.now();
      // The tag says which of those that were named holds: going back takes a refusal away.
      if (pairOf(response.headers.get("ETag")) === pairOf(this.#tag)) this.rejected = null;
      return { waits, changed: false };
    }
    if (response.status !== 200) {
      await bytesOf(response).catch(() => {}); // so that the connection can be used again
      throw Object.assign(new Error(`answered ${response.status}`), { waits, retryAfter: retryAfter(response) });
    }
    const tag = response.headers.get("ETag");
    await this.#take(await bytesOf(response), tag, response.headers.get("Tollkeeper-Signature"));
    // A server, or a cache before it, that sends what was named does not know what waiting is.
    return { waits, changed: tag !== null && !named.includes(tag) };
  }

  async #take(bytes, tag, signature) {
    const body = new TextDecoder().decode(bytes);
    let rules;
    try {
      rules = await this.#read(body, bytes, signature);
    } catch (error) {
      const reason = error.message.slice(0, REASON_CHARACTERS);
      this.rejected = { pair: pairOf(tag), tag: error.rereads ? null : tag, reason };
      if (error.rereads) throw error;
      this.heardAt = Date.now();
      this.#settings.onProblem(`rules ${this.rejected.pair ?? ""} are refused, what is there goes on: ${reason}`);
      return;
    }
    this.rules = rules;
    this.#tag = tag;
    this.rejected = null;
    this.source = "server";
    this.heardAt = Date.now();
    const { storage, onProblem, onRules } = this.#settings;
    onRules(rules);
    try {
      await storage?.save(sealed({ tag, signature }, body));
    } catch (error) {
      onProblem(`the rules cannot be kept for the next start: ${error.message}`);
    }
  }

  async #read(body, bytes, signature) {
    let document;
    try {
      document = JSON.parse(body);
    } catch {
      throw new Refused(body.trim() === "" ? "an empty answer" : "no JSON", { rereads: true });
    }
    const { environment, verify } = this.#settings;
    if (verify !== null && !(await verify(bytes, signature))) throw new Refused("not signed with a key that is known");
    const problem = problemOf(document);
    if (problem !== null) throw new Refused(`${problem.pointer || "/"}: ${problem.text}`);
    if (document.environment !== environment) throw new Refused(`for ${document.environment}, not for ${environment}`);
    return compile(document);
  }
}

// What is kept: a line that tells of the document, and the document as it was served.

function sealed({ tag, signature }, body) {
  return `${JSON.stringify({ format: 1, tag, signature, length: body.length, hash: hash(body) })}\n${body}`;
}

function opened(kept) {
  const end = kept.indexOf("\n");
  const { format, tag, signature, length, hash: sum } = JSON.parse(kept.slice(0, end));
  const body = kept.slice(end + 1);
  if (format !== 1 || body.length !== length || hash(body) !== sum) throw new Error("they are damaged");
  return { tag, signature, body };
}
