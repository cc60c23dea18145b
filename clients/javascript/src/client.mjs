// The client: polls, keeps, decides, reports. A call to `decide` or `report` never waits for anything.

import { pause, uuid } from "./http.mjs";
import { Polling } from "./polling.mjs";
import { verifier } from "./signatures.mjs";
import { Usage } from "./usage.mjs";

const LONGEST_WAIT_SECONDS = 55;
const INSTANCE = /^[A-Za-z0-9._:@-]{1,128}$/;

/** There are no rules yet: none were fetched and none were kept. */
export class NoRules extends Error {
  constructor(environment, failing) {
    super(`no rules for ${environment} were ever had${failing ? `: ${failing}` : ""}`);
    this.name = "NoRules";
  }
}

// What others do with what they are told stops nothing here.
const quietly = (callback) => (told) => {
  try {
    callback(told);
  } catch (error) {
    console.error(error);
  }
};

/** Make a client; it does nothing until it is started or asked. See the README for the settings. */
export function createClient(settings) {
  return new Client(settings);
}

export class Client {
  #environment;
  #instance;
  #polling;
  #usage;
  #wait;
  #flushSeconds;
  #running = null;

  constructor({
    url,
    key,
    environment = "production",
    instance,
    storage = null,
    spool = null,
    waitSeconds = 50,
    pollSeconds = 10,
    timeoutSeconds = 10,
    flushSeconds = 5,
    maxEvents = 10_000,
    publicKey,
    crypto = globalThis.crypto,
    fetch = (...request) => globalThis.fetch(...request),
    onProblem = (text) => console.warn(`tollkeeper: ${text}`),
    onRules = () => {},
  }) {
    if (!/^https?:\/\//.test(url ?? "")) throw new TypeError("url is the address of Tollkeeper, with http or https");
    if (!key) throw new TypeError("key is what Tollkeeper gave for this gateway");
    if (instance !== undefined && !INSTANCE.test(instance)) throw new TypeError(`instance has to match ${INSTANCE}`);
    this.#environment = environment;
    this.#instance = instance;
    this.#wait = Math.min(waitSeconds, LONGEST_WAIT_SECONDS);
    this.#flushSeconds = flushSeconds;
    const base = url.endsWith("/") ? url : `${url}/`;
    const shared = { fetch, base, key, onProblem: quietly(onProblem) };
    this.#polling = new Polling({
      ...shared,
      environment,
      storage,
      onRules: quietly(onRules),
      verify: publicKey ? verifier(publicKey, crypto) : null,
      pollSeconds,
      timeoutSeconds,
      instance: () => this.instance,
    });
    this.#usage = new Usage({ ...shared, spool, maxEvents });
  }

  /** How this instance calls itself. Made when it is first needed: some edges have no random numbers before a request. */
  get instance() {
    this.#instance ??= uuid();
    return this.#instance;
  }

  /** Poll and report from now on. Resolves once there are rules, kept ones too, or the first poll failed. */
  async start() {
    if (this.#running !== null) return this;
    const ending = new AbortController();
    this.#running = ending;
    await this.#polling.load();
    const first = this.#polling.poll({ signal: ending.signal });
    this.#poll(first, ending.signal);
    this.#report(ending.signal);
    if (this.#polling.rules === null) await first;
    return this;
  }

  async #poll(first, signal) {
    let seconds = await first;
    if (this.#wait > 0 && this.#polling.failing === null) seconds = 0; // what was asked without waiting is asked again
    while (!signal.aborted) {
      await pause(seconds, signal);
      if (!signal.aborted) seconds = await this.#polling.poll({ wait: this.#wait, signal });
    }
  }

  async #report(signal) {
    while (!signal.aborted) {
      await pause(this.#flushSeconds, signal);
      if (!signal.aborted) await this.#usage.flush(60, { patient: true, signal });
    }
  }

  /**
   * Ask for rules once, unless the server was heard of in the last `maxAgeSeconds`: for edges, where nothing runs
   * between requests. Never throws.
   */
  async poll({ maxAgeSeconds = 0 } = {}) {
    await this.#polling.load();
    const { heardAt } = this.#polling;
    if (heardAt !== null && Date.now() - heardAt < maxAgeSeconds * 1000) return;
    await this.#polling.poll();
  }

  /**
   * Decide for a request at an instant, which is now if there is none.
   *
   * Throws NoRules where none were ever had.
   */
  decide(context, now) {
    return this.#rules().decide(context, now);
  }

  /** Decide, and name every step on the way there. */
  explain(context, now) {
    return this.#rules().explain(context, now);
  }

  /** Return model, provider and gateways' names of an offering, for trying the fallbacks; null for an unknown one. */
  offering(name) {
    return this.#rules().offering(name);
  }

  #rules() {
    const { rules, failing } = this.#polling;
    if (rules === null) throw new NoRules(this.#environment, failing);
    return rules;
  }

  /**
   * Queue a native event; `id` and `time` are given to it if it has none. Returns its id, null where there is no room or
   * where it is nothing that JSON can say. Never throws.
   */
  report(event) {
    return this.#usage.add(event);
  }

  /** Send what is queued; says whether all of it was answered. Never throws. */
  flush(seconds = 10) {
    return this.#usage.flush(seconds);
  }

  /** Return how things stand. */
  status() {
    const { rules, source, heardAt, failing, rejected } = this.#polling;
    const { queued, sent, refused, dropped, failing: reportFailing } = this.#usage;
    return {
      environment: this.#environment,
      instance: this.instance,
      version: rules?.version ?? null,
      revision: rules?.revision ?? null,
      source,
      heard_at: heardAt === null ? null : new Date(heardAt).toISOString(),
      failing,
      rejected: rejected === null ? null : { version: rejected.pair, reason: rejected.reason },
      usage: { queued, sent, refused, dropped, failing: reportFailing },
    };
  }

  /** Stop polling, send what is queued for so many seconds at most, and say whether all of it was answered. */
  async close(seconds = 5) {
    this.#running?.abort();
    this.#running = null;
    return this.#usage.flush(seconds);
  }
}
