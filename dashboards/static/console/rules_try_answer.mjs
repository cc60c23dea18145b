// A decision in the words and the markup of the server.

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** Write a value of JSON with sorted members, as Python does. */
export function written(value) {
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.keys(value).sort().map((name) => `${JSON.stringify(name)}: ${written(value[name])}`);
  return `{${members.join(", ")}}`;
}

/** Return the card of a decision; `about` has title, context, budgets (names), words and the address of offerings. */
export function answerCard(decision, about) {
  const card = document.getElementById("try-answer").content.cloneNode(true).firstElementChild;
  const part = (name) => card.querySelector(`[data-part=${name}]`);
  const blocked = decision.offering === null;
  card.setAttribute("aria-label", about.title);
  part("title").textContent = about.title;
  if (blocked) part("offering").textContent = "Blocked";
  else {
    const link = element("a", decision.offering);
    link.href = about.offeringUrl.replace("NAME", encodeURI(decision.offering));
    part("offering").append(link);
  }
  const badge = blocked ? "blocked" : decision.rule !== null ? "rule" : "default";
  for (const one of card.querySelectorAll("[data-badge]")) if (one.dataset.badge !== badge) one.remove();
  if (badge === "rule") card.querySelector(".tk-badge").append(decision.rule);
  part("why").textContent = why(decision, about);
  part("facts").append(...facts(decision, about));
  part("count").textContent = `Every step (${decision.steps.length})`;
  card.querySelector("details").open = decision.steps.length < 12;
  part("steps").append(...steps(decision, about));
  return card;
}

function why(decision, { words, budgets }) {
  return fill(words.why[decision.reason], {
    matched: fill(decision.rule === null ? words.unmatched : words.matched, { rule: decision.rule }),
    budget: budgets[decision.budget] ?? decision.budget,
    taken: words.taken[decision.taken_from] ?? "",
  });
}

function facts(decision, { context, words }) {
  const found = [];
  const add = (name, ...content) => {
    const value = element("dd", undefined, "tk-break");
    value.append(...content);
    found.push(element("dt", name), value);
  };
  const label = (name, value, how) => add(name, `${value} `, element("span", how, "tk-muted"));
  for (const [name, title] of [["task", "Task"], ["complexity", "Complexity"]]) {
    if (context[name] !== undefined) label(title, decision[name] ?? "", words.labels.said);
    else if (decision[name] !== null) label(title, decision[name], words.labels.by_text);
    else if (context.text !== undefined) label(title, "", words.labels.unknown);
  }
  if (decision.gateway_name !== null) add("The gateway calls it", element("code", decision.gateway_name));
  if (decision.offering !== null) add("Fallbacks", decision.fallbacks.join(", then ") || "none");
  if (decision.timeout_ms !== null) add("Time-out", `${decision.timeout_ms.toLocaleString("en-US")} ms`);
  if (Object.keys(decision.params).length > 0) add("Settings", element("code", written(decision.params)));
  return found;
}

function steps(decision, { words, budgets }) {
  return decision.steps.map(({ subject, outcome }, index) => {
    let text = words.steps[outcome] ?? outcome;
    for (const [id, name] of Object.entries(budgets)) text = text.replaceAll(`budget ${id} `, () => `budget ${name} `);
    const row = element("li", undefined, index === decision.steps.length - 1 ? "tk-walk__taken" : "");
    row.append(element("span", subject), " ", element("span", text, "tk-muted"));
    return row;
  });
}

/** Return a message of the page, with another text than its own if there is one. */
export function message(name, ...text) {
  const made = document.getElementById("try-messages").content.querySelector(`[data-message=${name}]`).cloneNode(true);
  if (text.length > 0) {
    const lines = text.flatMap((line, index) => (index === 0 ? [line] : [element("br"), line]));
    made.querySelector("p").replaceChildren(...lines);
  }
  return made;
}

export function emptyState() {
  return document.getElementById("try-empty").content.cloneNode(true);
}
