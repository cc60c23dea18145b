// Native events: what one call used, and what the rules had said of it. They hold counts, names and labels; never a
// prompt or an answer.

import { decimalText } from "./values.mjs";

const OF_REQUEST = ["use_case", "team", "session", "user"];
const LABELS = ["user_tier", "data_class", "region"]; // beside task and complexity; numbers vary too much

const texts = (from, names) =>
  Object.fromEntries(names.filter((name) => typeof from[name] === "string").map((name) => [name, from[name]]));

/**
 * Return the event of a call that a decision sent on its way, for `report`.
 *
 * `context` is what was decided for. `offering` is who answered, where that was one of the decision's fallbacks. Others
 * are an event's own: `usage` (a provider's usage object as it is) or token counts, `latency_ms`, `status`, `model` as
 * the provider names it, and so on. Without a decision, where there were no rules, `model` has to be among them.
 *
 * Throws a RangeError where `offering` is neither the decision's nor one of its fallbacks.
 */
export function eventOf(decision, context, { offering, context: moreLabels, tags: moreTags, ...fields } = {}) {
  const request = context ?? {};
  const event = texts(request, OF_REQUEST);
  const labels = texts(request, LABELS);
  if (typeof request.batch === "boolean") labels.batch = String(request.batch);
  if (decision) Object.assign(event, ofDecision(decision, offering));
  const { task, complexity } = decision ?? request;
  if (typeof task === "string") labels.task = task;
  const number = decimalText(complexity);
  if (number !== undefined) labels.complexity = number;
  Object.assign(labels, moreLabels);
  const said = typeof request.tags === "object" && request.tags !== null ? request.tags : {};
  const tags = { ...texts(said, Object.keys(said)), ...moreTags };
  if (Object.keys(labels).length > 0) event.context = labels;
  if (Object.keys(tags).length > 0) event.tags = tags;
  for (const [name, value] of Object.entries(fields)) if (value !== null && value !== undefined) event[name] = value;
  if (event.model === undefined && event.status === "blocked") event.model = event.requested_model ?? "auto";
  return event;
}

function ofDecision(decision, offering) {
  const isFallback = offering !== undefined && offering !== null && offering !== decision.offering;
  const index = isFallback ? 1 + decision.fallbacks.indexOf(offering) : 0;
  if (isFallback && index === 0) throw new RangeError(`${offering} is not among what was decided`);
  const event = {
    rules_version: decision.version,
    state_revision: decision.revision,
    route_reason: decision.reason,
    fallback_index: index,
  };
  if (decision.rule !== null) event.rule_id = decision.rule;
  if (decision.offering === null) return { ...event, status: "blocked" };
  if (!isFallback) return { ...event, model: decision.model, provider: decision.provider };
  const at = offering.lastIndexOf("@");
  return { ...event, model: offering.slice(0, at), provider: offering.slice(at + 1) };
}
