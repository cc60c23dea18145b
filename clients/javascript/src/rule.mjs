// Rules, and how one of their targets is chosen.

import { allOf, compileCondition, demandOf, textReader } from "./conditions.mjs";
import { split } from "./splits.mjs";
import { LABELS, TAG, before, folded, instant, tagOf } from "./values.mjs";

const readUseCase = textReader("use_case");

/** A rule, or the default: when it matches, and what it says. */
export class Rule {
  constructor(rule, id) {
    this.id = id;
    this.since = instant(rule.active_from);
    this.until = instant(rule.active_until);
    this.choice = new Choice(rule, id, rule.sticky_by);
    this.instead = rule.over_budget ? new Choice(rule.over_budget, id, rule.sticky_by) : null;
    this.fallbacks = rule.fallbacks ?? [];
    this.params = rule.params ?? {};
    this.timeoutMs = rule.timeout_ms ?? null;
    this.useDefault = rule.use_default ?? true;
    // What the rule demands of single text fields goes into the look-up as well.
    this.demands = new Map();
    this.parts = conjuncts(rule.when).map((condition) => {
      const demand = demandOf(condition);
      if (demand !== null) this.#demands(demand);
      return { field: demand?.field ?? null, holds: compileCondition(condition) };
    });
    this.holds = allOf(this.parts.map((part) => part.holds));
    if (rule.use_cases) {
      const values = new Set(rule.use_cases.map(folded));
      this.#demands({ field: "use_case", values });
      this.parts.unshift({ field: "use_case", holds: (context) => values.has(readUseCase(context)) });
    }
  }

  #demands({ field, values }) {
    const known = this.demands.get(field);
    this.demands.set(field, known === undefined ? values : new Set([...known].filter((value) => values.has(value))));
  }

  isActive(now) {
    return (this.since === null || !before(now, this.since)) && (this.until === null || before(now, this.until));
  }

  whyNot(context, now) {
    const useCases = this.demands.get("use_case");
    if (useCases !== undefined && !useCases.has(readUseCase(context))) return "other use cases";
    if (this.since !== null && before(now, this.since)) return "not active yet";
    if (this.until !== null && !before(now, this.until)) return "no longer active";
    return this.holds !== null && !this.holds(context, now) ? "its condition does not hold" : "matches";
  }
}

function conjuncts(condition) {
  if (condition === null || condition === undefined) return [];
  return condition.all === undefined ? [condition] : condition.all.flatMap(conjuncts);
}

/** Targets of a rule, of its over_budget or of the default, and how one is chosen. */
class Choice {
  #id;
  #keyOf;
  #bounds = [];

  constructor(spec, id, stickyBy) {
    this.choose = spec.choose ?? "weight";
    this.names = spec.targets.map((target) => target.offering);
    this.#id = id;
    this.#keyOf = stickyKey(stickyBy ?? "request_id");
    let bound = 0;
    if (this.choose === "weight") this.#bounds = spec.targets.map(({ weight }) => (bound += weight));
  }

  /** Return the targets, the chosen one first, the others in the order in which they are tried. */
  ordered(context, orders) {
    const names = this.names;
    if (this.choose === "weight" && names.length > 1) {
      const chosen = this.#chosen(context);
      return chosen === 0 ? names : [names[chosen], ...names.slice(0, chosen), ...names.slice(chosen + 1)];
    }
    const order = this.choose === "score" ? orders.get(this.#id) : undefined;
    if (order === undefined) return names;
    const known = [...new Set(order)].filter((name) => names.includes(name));
    return [...known, ...names.filter((name) => !known.includes(name))];
  }

  #chosen(context) {
    const key = this.#keyOf(context);
    if (key === null) return 0;
    const place = split(this.#id, key);
    // Only weights that do not sum to 10000 leave a place to nobody.
    return Math.max(0, this.#bounds.findIndex((bound) => place < bound));
  }
}

/** Return what reads the key of a split: null where it is missing or empty. */
export function stickyKey(field) {
  if (field.startsWith(TAG)) {
    const name = field.slice(TAG.length);
    return (context) => tagOf(context, name) || null;
  }
  const label = LABELS.has(field);
  return (context) => {
    const value = context[field];
    return typeof value === "string" ? (label ? folded(value) : value) || null : null;
  };
}
