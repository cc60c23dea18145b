// Conditions of rules, compiled to functions of a request and an instant. Nothing here throws on a valid document.

import { LABELS, TAG, compareText, folded, number, sound, tagOf, zone } from "./values.mjs";

const TEXT = "text";
const NUMBER = "number";
const BOOLEAN = "boolean";
const LIST = "list";

const KINDS = new Map([
  ["complexity", NUMBER],
  ["input_tokens", NUMBER],
  ["context_needed", NUMBER],
  ["latency_budget_ms", NUMBER],
  ["hour", NUMBER],
  ["weekday", NUMBER],
  ["batch", BOOLEAN],
  ["modalities", LIST],
]);
const ORDERED = new Set(["eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "exists"]);
const OPERATORS = {
  [TEXT]: ORDERED,
  [NUMBER]: ORDERED,
  [BOOLEAN]: new Set(["eq", "ne", "exists"]),
  [LIST]: new Set(["contains", "exists"]),
};
const ZONED = new Set(["hour", "weekday"]);

/** Return what a field holds; tags and all that have no other kind hold text. */
function kindOf(field) {
  return KINDS.get(field) ?? TEXT;
}

/** Return what reads a text field of a request as it is compared; undefined where it is missing. */
export function textReader(field) {
  if (field.startsWith(TAG)) {
    const name = field.slice(TAG.length);
    return (context) => {
      const value = tagOf(context, name);
      return value === undefined ? undefined : sound(value);
    };
  }
  const read = LABELS.has(field) ? folded : sound;
  return (context) => {
    const value = context[field];
    return typeof value === "string" ? read(value) : undefined;
  };
}

/** Return what reads a field as it is compared; null for a zone that nobody knows. */
function reader(field, zoneName) {
  if (ZONED.has(field)) {
    const clock = zone(zoneName ?? "");
    return clock === null ? null : (context, now) => number(clock(now)[field]);
  }
  switch (kindOf(field)) {
    case NUMBER:
      return (context) => number(context[field]);
    case BOOLEAN:
      return (context) => (typeof context[field] === "boolean" ? context[field] : undefined);
    case LIST:
      return (context) => (Array.isArray(context[field]) ? context[field] : undefined);
    default:
      return textReader(field);
  }
}

/** Return a condition's value as its field is compared with, undefined where it is not of the field's kind. */
function comparable(field, value) {
  const kind = kindOf(field);
  if (kind === NUMBER) return number(value);
  if (kind === BOOLEAN) return typeof value === "boolean" ? value : undefined;
  if (typeof value !== "string") return undefined;
  return LABELS.has(field) ? folded(value) : value;
}

const never = () => false;

/** Compile a condition; null for one that always holds. */
export function compileCondition(condition) {
  if (condition === null || condition === undefined) return null;
  if (condition.all !== undefined) return allOf(condition.all.map(compileCondition));
  if (condition.any !== undefined) {
    const parts = condition.any.map(compileCondition);
    return (context, now) => parts.some((part) => part(context, now));
  }
  if (condition.not !== undefined) {
    const inner = compileCondition(condition.not);
    return (context, now) => !inner(context, now);
  }
  return comparison(condition);
}

/** Return what holds when all parts do; null for no parts. */
export function allOf(parts) {
  if (parts.length < 2) return parts[0] ?? null;
  if (parts.length === 2) {
    const [first, second] = parts;
    return (context, now) => first(context, now) && second(context, now);
  }
  return (context, now) => parts.every((part) => part(context, now));
}

function comparison({ field, op, value, zone: zoneName }) {
  const read = reader(field, zoneName);
  const kind = kindOf(field);
  if (read === null || !OPERATORS[kind].has(op)) return never;
  if (op === "exists") {
    const wanted = value === true;
    return (context, now) => (read(context, now) !== undefined) === wanted;
  }
  if (op === "in" || op === "not_in") {
    const among = new Set(comparables(field, value));
    const wanted = op === "in";
    return (context, now) => {
      const found = read(context, now);
      return found !== undefined && among.has(found) === wanted;
    };
  }
  const operand = comparable(field, value);
  if (operand === undefined) return never;
  if (op === "contains") {
    return (context) =>
      read(context)?.some((item) => typeof item === "string" && sound(item) === operand) ?? false;
  }
  const holds = COMPARED[op](kind === TEXT ? compareText : compareNumbers, operand);
  return (context, now) => {
    const found = read(context, now);
    return found !== undefined && holds(found);
  };
}

function compareNumbers(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}

const COMPARED = {
  eq: (order, operand) => (found) => found === operand,
  ne: (order, operand) => (found) => found !== operand,
  gt: (order, operand) => (found) => order(found, operand) > 0,
  gte: (order, operand) => (found) => order(found, operand) >= 0,
  lt: (order, operand) => (found) => order(found, operand) < 0,
  lte: (order, operand) => (found) => order(found, operand) <= 0,
};

function comparables(field, value) {
  const items = Array.isArray(value) ? value : [value];
  return items.map((item) => comparable(field, item)).filter((item) => item !== undefined);
}

/** Return the text field that a condition pins to some values, and these; null for any other condition. */
export function demandOf({ field, op, value }) {
  if (field === undefined || (op !== "eq" && op !== "in") || kindOf(field) !== TEXT) return null;
  return { field, values: new Set(comparables(field, value)) };
}
