// What the rules say for a request: compiled once per document, decided in microseconds, the same everywhere.
//
// routing/spec/README.md of Tollkeeper is the specification; this is one implementation of it. It does no I/O, reads
// no clock but where no instant is given, and throws nothing on a valid document, whatever the request contains.

import { allOf, textReader } from "./conditions.mjs";
import { compileLabels } from "./labelling.mjs";
import { Rule, stickyKey } from "./rule.mjs";
import { split } from "./splits.mjs";
import { decimalText, momentOf, sound, soundThroughout } from "./values.mjs";
import { State, Walk } from "./walk.mjs";

const MOST_LOOKUP_FIELDS = 4;
const MOST_LOOKUPS = 4096;

/**
 * Compile a document as served; some milliseconds for 500 rules. It has to be valid: `problemsOf` says so.
 */
export function compile(document) {
  return new Rules(soundThroughout(document));
}

/** A document ready to decide. */
class Rules {
  #state;
  #own;
  #canary = null;

  constructor(document) {
    this.version = document.version;
    this.revision = document.state.revision;
    this.environment = document.environment;
    this.#state = new State(document.state);
    this.#own = new Content(document, this.#state);
    const canary = document.state.canary;
    if (canary !== null) {
      const keyOf = stickyKey(canary.sticky_by ?? "session");
      const content = new Content(canary, this.#state);
      this.#canary = {
        content,
        takes(context) {
          const key = keyOf(context);
          return key !== null && split(canary.salt, key) < canary.share;
        },
      };
    }
  }

  /** Decide for a request at an instant: a Date, milliseconds since 1970 or a text; now if there is none. */
  decide(context, now) {
    return this.#decide(context, momentOf(now), null);
  }

  /** Decide, and name every step on the way there: the decision has `steps`. */
  explain(context, now) {
    const steps = [];
    const decision = this.#decide(context, momentOf(now), steps);
    return { ...decision, steps };
  }

  /** Return `{model, provider, gateway_names}` of an offering of the document; null for an unknown one. */
  offering(name) {
    const facts = this.#own.offerings.get(name) ?? this.#canary?.content.offerings.get(name);
    if (facts === undefined) return null;
    const { model, provider, gatewayNames } = facts;
    return { model, provider, gateway_names: Object.fromEntries(gatewayNames) };
  }

  #decide(request, now, steps) {
    const inCanary = this.#canary !== null && this.#canary.takes(request);
    const content = inCanary ? this.#canary.content : this.#own;
    const step = (subject, outcome) => steps.push({ subject, outcome });
    if (steps !== null && this.#canary !== null) step("canary", `version ${content.version}`);
    const context = content.label === null ? request : content.label(request, steps && step);
    const matched = content.first(context, now);
    if (steps !== null) content.explain(matched, context, now, step);

    const walk = new Walk(content, this.#state, context, now, steps && step);
    let taken = null;
    if (matched === null) walk.reason = "default";
    else if (walk.through(matched, "targets", "fallbacks")) taken = matched;
    const toDefault = taken === null && !walk.blocked && (matched === null || matched.useDefault);
    if (toDefault && walk.through(content.default, "default.targets", "default.fallbacks")) taken = content.default;
    if (taken === null) {
      if (!walk.blocked) walk.reason = "nothing_left";
      if (steps !== null) step("blocked", walk.reason);
    }
    const facts = taken === null ? null : content.offerings.get(walk.found);
    return {
      offering: taken === null ? null : walk.found,
      model: facts?.model ?? null,
      provider: facts?.provider ?? null,
      gateway_name: facts === null ? null : gatewayName(facts, context),
      rule: matched?.id ?? null,
      reason: walk.reason,
      taken_from: taken === null ? null : walk.takenFrom,
      fallbacks: taken === null ? [] : walk.rest,
      params: taken?.params ?? {},
      timeout_ms: taken?.timeoutMs ?? null,
      version: content.version,
      revision: this.revision,
      canary: inCanary,
      budget: walk.budget,
      task: typeof context.task === "string" ? sound(context.task) : null,
      complexity: decimalText(context.complexity) ?? null,
    };
  }
}

function gatewayName(facts, context) {
  const kind = context.gateway_kind;
  return typeof kind === "string" ? (facts.gatewayNames.get(sound(kind)) ?? null) : null;
}

/** A set of rules with its default and offerings: the document's, or a canary's. */
class Content {
  #fields;
  #lookups = new Map();

  constructor(content, state) {
    this.version = content.version;
    this.label = compileLabels(content.heuristics);
    this.rules = content.rules.map((rule) => new Rule(rule, rule.id));
    this.default = new Rule(content.default, "default");
    this.offerings = new Map(
      Object.entries(content.offerings).map(([name, facts]) => [name, offeringOf(name, facts, state)]),
    );
    this.#fields = this.#mostDemanded();
  }

  // Rules are looked up by the values that their conditions demand of these fields, so that 500 rules cost what a few
  // do. Values that no rule names count as one, so there are only so many keys.
  #mostDemanded() {
    const counted = new Map();
    for (const rule of this.rules) {
      for (const field of rule.demands.keys()) counted.set(field, (counted.get(field) ?? 0) + 1);
    }
    return [...counted]
      .sort((one, other) => other[1] - one[1])
      .slice(0, MOST_LOOKUP_FIELDS)
      .map(([field]) => ({
        field,
        read: textReader(field),
        numbers: new Map(
          [...new Set(this.rules.flatMap((rule) => [...(rule.demands.get(field) ?? [])]))].map((value, n) => [value, n]),
        ),
      }));
  }

  /** Return the first rule that matches, or null. */
  first(context, now) {
    let key = "";
    for (const { read, numbers } of this.#fields) key += `${numbers.get(read(context)) ?? ""},`;
    let candidates = this.#lookups.get(key);
    if (candidates === undefined) {
      candidates = this.#lookUp(context);
      if (this.#lookups.size >= MOST_LOOKUPS) this.#lookups.clear();
      this.#lookups.set(key, candidates);
    }
    for (const { rule, holds } of candidates) {
      if ((holds === null || holds(context, now)) && rule.isActive(now)) return rule;
    }
    return null;
  }

  #lookUp(context) {
    const values = new Map(this.#fields.map(({ field, read }) => [field, read(context)]));
    return this.rules
      .filter((rule) => [...rule.demands].every(([field, wanted]) => !values.has(field) || wanted.has(values.get(field))))
      .map((rule) => ({
        rule,
        holds: allOf(rule.parts.filter(({ field }) => !values.has(field)).map(({ holds }) => holds)),
      }));
  }

  /** Say of each rule up to the one that matched what became of it. */
  explain(matched, context, now, step) {
    for (const rule of this.rules) {
      if (rule === matched) {
        step(`rule ${rule.id}`, "matches");
        return;
      }
      step(`rule ${rule.id}`, rule.whyNot(context, now));
    }
    step("default", "no rule matches");
  }
}

function offeringOf(name, { model, provider, tier, gateway_names: names }, state) {
  const subject = { offering: name, model, provider, tier };
  return {
    model,
    provider,
    gatewayNames: new Map(Object.entries(names ?? {})),
    switches: state.switchesOf(subject),
    budgets: state.budgetsOf(subject),
  };
}
