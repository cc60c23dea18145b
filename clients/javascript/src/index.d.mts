import type { Decision, Explanation, Instant, Offering, RequestContext, Rules } from "./evaluator.d.mts";

export * from "./evaluator.d.mts";

/** The first place where a value breaks the schema of documents as served; null for a valid one. */
export function problemOf(document: unknown): { pointer: string; text: string } | null;

/** Where rules are kept for the next start: one text. */
export interface Storage {
  load(): Promise<string | null | undefined> | string | null | undefined;
  save(text: string): Promise<void> | void;
}

/** Where events are kept until they were answered. */
export interface Spool<Token = unknown> {
  load(): Iterable<{ text: string; token: Token }>;
  add(text: string): Token;
  done(token: Token): void;
}

export interface Settings {
  /** The address of Tollkeeper. */
  url: string;
  /** A key with the scopes rules:read and usage:write. */
  key: string;
  /** "production" if left out. */
  environment?: string;
  /** How this instance calls itself, [A-Za-z0-9._:@-]{1,128}; a random name if left out. */
  instance?: string;
  storage?: Storage | null;
  spool?: Spool | null;
  /** For how long a poll may wait for a change: 50, at most 55; 0 asks without waiting. */
  waitSeconds?: number;
  /** How often to ask where polls cannot wait: 10. */
  pollSeconds?: number;
  /** How long an answer may take, beyond what a poll waits: 10. */
  timeoutSeconds?: number;
  /** How often usage is sent: 5. */
  flushSeconds?: number;
  /** How many events may wait; more are dropped, and counted: 10000. */
  maxEvents?: number;
  /** Refuse rules that are not signed with this key: 32 bytes in base64, several by commas. */
  publicKey?: string;
  fetch?: typeof fetch;
  /** Told of what goes wrong, once until it changes; console.warn if left out. */
  onProblem?: (text: string) => void;
  /** Told of rules that came from the server. */
  onRules?: (rules: Rules) => void;
}

export interface Status {
  environment: string;
  instance: string;
  version: number | null;
  revision: number | null;
  source: "none" | "storage" | "server";
  heard_at: string | null;
  failing: string | null;
  rejected: { version: string | null; reason: string } | null;
  usage: { queued: number; sent: number; refused: number; dropped: number; failing: string | null };
}

/** There are no rules yet: none were fetched and none were kept. */
export class NoRules extends Error {}

export class Client {
  constructor(settings: Settings);
  readonly instance: string;
  /** Poll and report from now on. Resolves once there are rules, kept ones too, or the first poll failed. */
  start(): Promise<this>;
  /** Ask once, unless the server was heard of in the last `maxAgeSeconds`. Never throws. */
  poll(options?: { maxAgeSeconds?: number }): Promise<void>;
  /** Throws NoRules where none were ever had. */
  decide(context: RequestContext, now?: Instant): Decision;
  /** Throws NoRules where none were ever had. */
  explain(context: RequestContext, now?: Instant): Explanation;
  /** For trying the fallbacks; null for an unknown one. */
  offering(name: string): Offering | null;
  /** Queue a native event; returns its id, null where there is no room. Never throws. */
  report(event: Record<string, unknown>): string | null;
  /** Send what is queued, for 10 seconds at most; says whether all of it was answered. Never throws. */
  flush(seconds?: number): Promise<boolean>;
  status(): Status;
  /** Stop polling and send what is queued, for 5 seconds at most; says whether all of it was answered. */
  close(seconds?: number): Promise<boolean>;
}

export function createClient(settings: Settings): Client;

/**
 * The event of a call that a decision sent on its way, for `report`: rule, version, revision, reason, place among the
 * fallbacks, labels and tags filled in. `offering` is who answered, where that was one of the fallbacks.
 */
export function eventOf(
  decision: Decision | null,
  context: RequestContext | null | undefined,
  fields?: { offering?: string; context?: Record<string, string>; tags?: Record<string, string>; [field: string]: unknown },
): Record<string, unknown>;
