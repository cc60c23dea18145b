// What stands against offerings, and a request's way past it.

import { textReader } from "./conditions.mjs";
import { LABELS, TAG, before, folded, instant } from "./values.mjs";

/** What is in force besides the rules: orders, switches, exceeded budgets. */
export class State {
  #switches;
  #budgets;

  constructor(state) {
    this.orders = new Map(Object.entries(state.orders));
    this.#switches = state.switches.map((entry) => ({ ...entry, until: instant(entry.until) })).reverse();
    const exceeded = state.budgets.filter((budget) => budget.state === "exceeded").map((budget) => new Budget(budget));
    this.#budgets = [...exceeded.filter((budget) => budget.blocks), ...exceeded.filter((budget) => !budget.blocks)];
  }

  /** Return the switches of an offering: the most specific first, among these the last written. */
  switchesOf(subject) {
    return ["offering", "model", "provider"].flatMap((kind) =>
      this.#switches.filter((entry) => entry[kind] === subject[kind]),
    );
  }

  /** Return the exceeded budgets that may remove an offering, those that block first. */
  budgetsOf(subject) {
    return this.#budgets.filter((budget) => budget.mayConcern(subject));
  }
}

const OF_REQUEST = new Set(["use_case", "team", "gateway"]); // and tags; other dimensions are the candidate's

/** An exceeded budget: what it demands of the request, with what it demands of candidates kept apart. */
class Budget {
  #ofRequest = [];
  #ofCandidate = [];

  constructor(budget) {
    this.id = budget.id;
    this.blocks = budget.action === "block";
    this.until = instant(budget.until);
    for (const [dimension, values] of Object.entries(budget.match)) {
      if (OF_REQUEST.has(dimension) || dimension.startsWith(TAG)) {
        const wanted = new Set(LABELS.has(dimension) ? values.map(folded) : values);
        this.#ofRequest.push({ read: textReader(dimension), wanted });
      } else {
        this.#ofCandidate.push({ dimension, wanted: new Set(values) });
      }
    }
    // One that is the same for all candidates would turn every downgrade into a block.
    this.sparesInstead = !this.blocks && this.#ofCandidate.length === 0;
  }

  mayConcern(subject) {
    return this.#ofCandidate.every(({ dimension, wanted }) => wanted.has(subject[dimension]));
  }

  applies(context, now) {
    if (this.until !== null && !before(now, this.until)) return false;
    return this.#ofRequest.every(({ read, wanted }) => wanted.has(read(context)));
  }
}

/** One request's way along targets and fallbacks to an offering that nothing stands against. */
export class Walk {
  reason = "rule";
  budget = null;
  found = null;
  takenFrom = null;
  rest = [];
  blocked = false;
  #content;
  #orders;
  #context;
  #now;
  #step;

  constructor(content, state, context, now, step) {
    this.#content = content;
    this.#orders = state.orders;
    this.#context = context;
    this.#now = now;
    this.#step = step;
  }

  /** Look along a rule's targets (or its over_budget's) and fallbacks; false if nothing is left, or blocked. */
  through(rule, targets, fallbacks) {
    if (this.#targets(rule.choice, targets, rule.fallbacks, rule.instead)) return true;
    if (this.blocked) return false;
    const index = rule.fallbacks.findIndex((name) => this.#objection(name, false) === null);
    if (index < 0) return false;
    this.#take(rule.fallbacks[index], fallbacks, [], rule.fallbacks.slice(index + 1));
    return true;
  }

  #targets(choice, source, fallbacks, instead) {
    const isInstead = source === "over_budget";
    const names = choice.ordered(this.#context, this.#orders);
    for (const [index, name] of names.entries()) {
      const objection = this.#objection(name, isInstead);
      if (objection === null) {
        // The other sides of a split are no fallbacks; the rest of an order is.
        this.#take(name, source, choice.choose === "weight" ? [] : names.slice(index + 1), fallbacks);
        return true;
      }
      if (typeof objection !== "string") {
        if (objection.blocks) {
          this.blocked = true;
          this.reason = "budget_blocks";
          this.budget = objection.id;
          return false;
        }
        if (instead !== null) return this.#targets(instead, "over_budget", fallbacks, null);
      }
    }
    return false;
  }

  #take(name, source, targets, fallbacks) {
    this.found = name;
    this.takenFrom = source;
    const free = (others, isInstead) =>
      others.filter((other) => other !== name && this.#against(other, isInstead) === null);
    this.rest = [...new Set([...free(targets, source === "over_budget"), ...free(fallbacks, false)])];
    this.#step?.(name, `taken from ${source}`);
  }

  /** Say what stands against a candidate, and remember the first such thing as the reason. */
  #objection(name, isInstead) {
    const objection = this.#against(name, isInstead);
    if (objection === null) return null;
    const isFirst = this.reason === "rule" || this.reason === "default";
    if (typeof objection === "string") {
      if (isFirst) this.reason = "switched_off";
      this.#step?.(name, objection);
    } else {
      if (isFirst) this.reason = "over_budget";
      this.budget ??= objection.id;
      this.#step?.(name, `budget ${objection.id} is exceeded: ${objection.blocks ? "block" : "downgrade"}`);
    }
    return objection;
  }

  #against(name, isInstead) {
    const offering = this.#content.offerings.get(name);
    if (offering === undefined) return "not among the offerings";
    const word = offering.switches.find(({ until }) => until === null || before(this.#now, until));
    if (word?.off) return "switched off";
    const applies = (budget) => !(isInstead && budget.sparesInstead) && budget.applies(this.#context, this.#now);
    return offering.budgets.find(applies) ?? null;
  }
}
