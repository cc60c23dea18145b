/** A request, as far as rules may read it; every member may be missing or null. See context.schema.json. */
export interface RequestContext {
  task?: string | null;
  complexity?: number | string | null;
  use_case?: string | null;
  team?: string | null;
  user_tier?: string | null;
  tags?: Record<string, string | null> | null;
  modalities?: string[] | null;
  input_tokens?: number | string | null;
  context_needed?: number | string | null;
  latency_budget_ms?: number | string | null;
  data_class?: string | null;
  region?: string | null;
  batch?: boolean | null;
  request_id?: string | null;
  session?: string | null;
  user?: string | null;
  gateway?: string | null;
  gateway_kind?: string | null;
  /** What the person wrote last: read for labels, never reported. */
  text?: string | null;
  [other: string]: unknown;
}

export type Reason = "rule" | "default" | "over_budget" | "switched_off" | "budget_blocks" | "nothing_left";

/** Where a request goes, and why. `offering` is null where it is blocked. */
export interface Decision {
  offering: string | null;
  model: string | null;
  provider: string | null;
  gateway_name: string | null;
  rule: string | null;
  reason: Reason;
  taken_from: "targets" | "over_budget" | "fallbacks" | "default.targets" | "default.fallbacks" | null;
  fallbacks: string[];
  /** Settings by provider. */
  params: Record<string, Record<string, unknown>>;
  timeout_ms: number | null;
  version: number;
  revision: number;
  canary: boolean;
  budget: string | null;
  task: string | null;
  complexity: string | null;
}

export interface Explanation extends Decision {
  steps: { subject: string; outcome: string }[];
}

/** A Date, milliseconds since 1970, or RFC 3339 in UTC with Z and up to six digits of a second. */
export type Instant = Date | number | string;

export interface Offering {
  model: string;
  provider: string;
  gateway_names: Record<string, string>;
}

/** A document ready to decide. */
export interface Rules {
  readonly environment: string;
  readonly version: number;
  readonly revision: number;
  /** Decide for a request at an instant; now if there is none. */
  decide(context: RequestContext, now?: Instant): Decision;
  /** Decide, and name every step on the way there. */
  explain(context: RequestContext, now?: Instant): Explanation;
  /** For trying the fallbacks; null for an unknown one. */
  offering(name: string): Offering | null;
}

/** Compile a valid document as served; some milliseconds for 500 rules. */
export function compile(document: object): Rules;
