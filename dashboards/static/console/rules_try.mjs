// Decides in the browser while one types, by the documents and the code that gateways have. Each question that rests
// for a moment is put to the server, too, and the page says so if the two ever differ. The text of a request is read
// here and goes nowhere: the server is asked with the labels that it led to. Without this script the form is sent.

import { compile } from "../client/evaluator.mjs";
import { problemOf } from "../client/validator.mjs";
import { answerCard, emptyState, message, written } from "./rules_try_answer.mjs";
import { fieldsWithoutText, readRequest } from "./rules_try_request.mjs";

const REST_MS = 500;
const HERE = "Decided in this browser, as a gateway decides";
const STAYS = "The text stays in this browser";

const form = document.getElementById("try");
const answer = document.getElementById("answer");
const how = document.getElementById("how");
const words = form && JSON.parse(document.getElementById("try-words").textContent);

let known = null; // { documents: [{title, rules}], at, budgets, ahead }: what is decided by
let resting = 0;
let asking = new AbortController();

/** Fetch what is decided by at the instant that the form names; throws an Error with `errors` by field. */
async function fetchDocuments() {
  const url = new URL(form.dataset.documents, location.href);
  if (form.elements.at.value) url.searchParams.set("at", form.elements.at.value);
  const told = await answered(await fetch(url, { headers: { Accept: "application/json" } }));
  const documents = told.documents.map(({ title, document }) => {
    const problem = problemOf(document);
    if (problem !== null) throw new Error(`${title}: ${problem.pointer} ${problem.text}`);
    return { title, rules: compile(document) };
  });
  known = { ...told, documents, ahead: Date.parse(told.now) - Date.now() };
}

async function answered(response) {
  const told = await response.json();
  if (response.status === 422) throw Object.assign(new Error("the request cannot be read"), { errors: told.errors });
  if (!response.ok) throw new Error(`answered ${response.status}`);
  return told;
}

const moment = () => known.at ?? Date.now() + known.ahead;

function show(isAsked) {
  const { context, errors } = readRequest(form, words);
  mark(errors);
  if (Object.keys(errors).length > 0) return showErrors(errors);
  if (!isAsked && Object.keys(context).length === 0 && !form.elements.at.value) {
    answer.replaceChildren(emptyState());
    how.hidden = true;
    return null;
  }
  const now = moment();
  const decisions = known.documents.map(({ rules }) => rules.explain(context, now));
  const cards = decisions.map((decision, index) =>
    answerCard(decision, {
      title: known.documents[index].title,
      context,
      words,
      budgets: known.budgets,
      offeringUrl: form.dataset.offering,
    }),
  );
  if (decisions.length === 2) cards.unshift(message(place(decisions[0]) === place(decisions[1]) ? "same" : "differ"));
  answer.replaceChildren(...cards);
  return { context, decisions };
}

const place = ({ offering, fallbacks }) => JSON.stringify([offering, fallbacks]);

function mark(errors) {
  for (const list of form.querySelectorAll(".tk-field__errors")) list.remove();
  for (const field of form.elements) if (field.name) field.classList.toggle("is-invalid", field.name in errors);
}

function showErrors(errors) {
  const label = (name) => form.querySelector(`label[for="${form.elements[name]?.id}"]`)?.textContent ?? name;
  const lines = Object.entries(errors).flatMap(([name, told]) => [told].flat().map((text) => `${label(name)}: ${text}`));
  answer.replaceChildren(message("error", ...lines));
  how.hidden = true;
  return null;
}

function say(...sentences) {
  how.hidden = false;
  how.textContent = `${sentences.filter(Boolean).join(". ")}.`;
}

/** Return what the server decides, document by document; each is asked with the labels that it gave itself. */
async function askServer({ context, decisions }, signal) {
  const asked = new Map();
  const ask = (decision) => {
    const fields = fieldsWithoutText(form);
    if (context.text !== undefined) {
      for (const name of ["task", "complexity"]) {
        if (context[name] === undefined && decision[name] !== null) fields.set(name, decision[name]);
      }
    }
    const question = fields.toString();
    if (!asked.has(question)) {
      const headers = { Accept: "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
      const request = { method: "POST", body: fields, headers, signal };
      asked.set(question, fetch(form.dataset.check, request).then(answered));
    }
    return asked.get(question);
  };
  return Promise.all(
    decisions.map(async (decision, index) => {
      const { at, decisions: told } = await ask(decision);
      return { at, decision: told[index] };
    }),
  );
}

// Numbers of versions and revisions stand for what is decided by; a draft has none.
const outcome = ({ version, revision, steps, ...decision }) => written(decision);

/** Return what differs, as [title, here, there]; decided anew at the very instant that the server did. */
function differences(told, context) {
  return known.documents.flatMap(({ title, rules }, index) => {
    const here = rules.decide(context, told[index].at);
    const there = told[index].decision;
    return outcome(here) === outcome(there) ? [] : [[title, here, there]];
  });
}

async function compare(isAsked) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const shown = show(isAsked);
  history.replaceState(history.state, "", `${form.getAttribute("action")}${query()}`);
  if (shown === null) return;
  const stays = shown.context.text === undefined ? "" : STAYS;
  try {
    let told = await askServer(shown, signal);
    let found = differences(told, shown.context);
    const isBehind = known.documents.some(
      ({ rules }, index) => told[index].decision.version > 0 && told[index].decision.version !== rules.version,
    );
    if (found.length > 0 || isBehind) {
      // Something was published, exceeded or switched since: only what differs by the same rules is a difference.
      await fetchDocuments();
      const again = show(isAsked);
      if (again === null) return;
      told = await askServer(again, signal);
      found = differences(told, again.context);
    }
    if (signal.aborted) return;
    for (const [title, here, there] of found) {
      const to = (decision) => decision.offering ?? "blocked";
      answer.prepend(
        message(
          "server",
          `${title}: the server decides otherwise. Here ${to(here)} (${here.reason}), there ${to(there)} (${there.reason}).`,
          "One of the two is wrong. Please tell whoever runs Tollkeeper, with this request.",
        ),
      );
    }
    say(HERE, stays, found.length > 0 ? "The server does not decide the same" : "The server decides the same");
  } catch (error) {
    if (signal.aborted) return;
    if (error.errors) showErrors(error.errors);
    else say(HERE, stays, "The server could not be asked to compare");
  }
}

function query() {
  const fields = fieldsWithoutText(form).toString();
  return fields && `?${fields}`;
}

function changed() {
  asking.abort();
  clearTimeout(resting);
  const shown = show(false);
  if (shown !== null) say(HERE, shown.context.text === undefined ? "" : STAYS);
  resting = setTimeout(() => compare(false), REST_MS);
}

async function moved() {
  try {
    await fetchDocuments();
    changed();
  } catch (error) {
    if (error.errors) {
      mark(error.errors);
      showErrors(error.errors);
    } else say("The rules of that instant could not be fetched");
  }
}

async function begin() {
  try {
    await fetchDocuments();
  } catch {
    if (form.elements.at.value) form.elements.at.addEventListener("change", begin, { once: true });
    return; // the form is sent, as without scripts
  }
  form.addEventListener("input", (event) => event.target.name !== "at" && changed());
  form.addEventListener("change", (event) => event.target.name === "at" && moved());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(resting);
    compare(true);
  });
  const help = document.getElementById("id_text_help");
  if (help) help.textContent = `What the person wrote last. It is read for labels, in this browser alone.`;
  form.dataset.ready = "";
  if (location.search || form.elements.text.value) compare(false);
}

if (form) begin();
