// Labels for requests that come without them: task and complexity, by what is counted in their text.

import { decimalText, lowered, sound } from "./values.mjs";

const LOOKED_AT = 100_000; // code points of a text
const WORD = "0-9a-z_\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u060b\u060d-\u061a\u061c-\u061e\u0620-\u06d3\u06d5-\u0963\u0966-\u0dff\u0f00-\u0fff\u10a0-\u177f\u1800-\u1fff";
const RUNS = new RegExp(`[${WORD}]+`, "g");
const ALL_WORD = new RegExp(`^[${WORD}]+$`);
const FENCE = /(?:^|\n)[ \t]*(?:```|~~~)/g; // not with the flag m: to it CR and others end a line

/** Say whether a word of a text, folded, may go on with this UTF-16 unit. */
function isWord(unit) {
  return ALL_WORD.test(unit);
}

function firstCodePoints(text) {
  if (text.length <= LOOKED_AT) return text;
  let end = 0;
  for (let count = 0; count < LOOKED_AT && end < text.length; count += 1) end += text.codePointAt(end) > 0xffff ? 2 : 1;
  return text.slice(0, end);
}

/** A text, with what was counted in it so far. */
class Seen {
  #kept = new Map();

  constructor(text) {
    this.text = sound(firstCodePoints(text));
  }

  #once(name, count) {
    if (!this.#kept.has(name)) this.#kept.set(name, count());
    return this.#kept.get(name);
  }

  characters() {
    return this.#once("characters", () => this.text.length - (this.text.match(/[\udc00-\udfff]/g)?.length ?? 0));
  }

  lines() {
    return this.#once("lines", () => {
      const ends = this.text.match(/\n/g)?.length ?? 0;
      return this.text === "" || this.text.endsWith("\n") ? ends : ends + 1;
    });
  }

  codeFences() {
    return this.#once("codeFences", () => this.text.match(FENCE)?.length ?? 0);
  }

  #folded() {
    return this.#once("folded", () => lowered(this.text));
  }

  // What consists of word characters alone is looked up, not looked for.
  has(words, phrases) {
    const runs = this.#once("runs", () => new Set(this.#folded().match(RUNS)));
    return words.filter((word) => runs.has(word)).length + phrases.filter((phrase) => this.#occurs(phrase)).length;
  }

  #occurs(phrase) {
    const text = this.#folded();
    const begins = isWord(phrase[0]);
    const ends = isWord(phrase[phrase.length - 1]);
    for (let at = text.indexOf(phrase); at >= 0; at = text.indexOf(phrase, at + 1)) {
      const end = at + phrase.length;
      const goesOnBefore = begins && at > 0 && isWord(text[at - 1]);
      const goesOnAfter = ends && end < text.length && isWord(text[end]);
      if (!goesOnBefore && !goesOnAfter) return true;
    }
    return false;
  }
}

/** Return what counts in a Seen text, undefined where that is outside the bounds. */
function compileSignal(signal) {
  const least = signal.at_least ?? 0;
  const most = signal.at_most ?? Infinity;
  const count = counter(signal);
  return (seen) => {
    const found = count(seen);
    return least <= found && found <= most ? found : undefined;
  };
}

function counter(signal) {
  switch (signal.count) {
    case "characters":
      return (seen) => seen.characters();
    case "lines":
      return (seen) => seen.lines();
    case "code_fences":
      return (seen) => seen.codeFences();
    default: {
      const different = [...new Set(signal.words.map(lowered))];
      const words = different.filter((word) => ALL_WORD.test(word));
      const phrases = different.filter((word) => !ALL_WORD.test(word));
      return (seen) => seen.has(words, phrases);
    }
  }
}

/** Compile heuristics to what labels a request; null where there is nothing to label by. */
export function compileLabels(heuristics) {
  const tasks = (heuristics?.tasks ?? []).map(({ task, any }) => ({
    task,
    signals: any.map((signal) => ({ found: compileSignal(signal), said: signal })),
  }));
  const points = (heuristics?.complexity ?? []).map((entry) => ({
    points: entry.points,
    found: compileSignal(entry),
    said: entry,
  }));
  if (tasks.length === 0 && points.length === 0) return null;

  // `told` is given what led to the labels: a member and a sentence each.
  return function label(context, told) {
    if (typeof context.text !== "string") return context;
    const wantsTask = tasks.length > 0 && typeof context.task !== "string";
    const wantsComplexity = points.length > 0 && decimalText(context.complexity) === undefined;
    if (!wantsTask && !wantsComplexity) return context;
    const seen = new Seen(context.text);
    const labelled = { ...context };
    if (wantsTask) labelled.task = taskOf(tasks, seen, told);
    if (wantsComplexity) labelled.complexity = complexityOf(points, seen, told);
    return labelled;
  };
}

function taskOf(tasks, seen, told) {
  for (const { task, signals } of tasks) {
    for (const signal of signals) {
      const found = signal.found(seen);
      if (found !== undefined) {
        told?.("task", `${task}: ${signalText(signal.said)} (${found} found)`);
        return task;
      }
    }
  }
  told?.("task", "not labelled: no signal holds");
  return undefined;
}

function complexityOf(entries, seen, told) {
  let total = 0;
  for (const { points, found: find, said } of entries) {
    const found = find(seen);
    if (found !== undefined) {
      total += points;
      told?.("complexity", `${points < 0 ? "" : "+"}${points} points: ${signalText(said)} (${found} found)`);
    }
  }
  const label = hundredths(Math.min(Math.max(total, 0), 100));
  told?.("complexity", `${label}: ${total} points`);
  return label;
}

/** Write hundredths as short as they can be: 35 is 0.35, 40 is 0.4. */
function hundredths(points) {
  if (points % 100 === 0) return String(points / 100);
  return `0.${String(points).padStart(2, "0")}`.replace(/0$/, "");
}

// --- In words

const WORDS_SHOWN = 12;
const UNITS = { characters: "character", lines: "line", code_fences: "code fence line" };

/** Return a signal in plain words, such as `at least 2000 characters`. */
function signalText({ count, at_least: low, at_most: high, words }) {
  if (count === "keywords") {
    const more = words.length - WORDS_SHOWN;
    const shown = words.slice(0, WORDS_SHOWN).join(", ") + (more > 0 ? ` and ${more} more` : "");
    if (high === undefined && low === 1) return `any of the words ${shown}`;
    return !low && high === 0 ? `none of the words ${shown}` : `${bounds(low, high)} of the words ${shown}`;
  }
  const unit = UNITS[count] + ((high === undefined ? low : high) === 1 ? "" : "s");
  return !low && high === 0 ? `no ${unit}` : `${bounds(low, high)} ${unit}`;
}

function bounds(low, high) {
  if (low !== undefined && high !== undefined) return low === high ? `exactly ${low}` : `${low} to ${high}`;
  return high === undefined ? `at least ${low}` : `at most ${high}`;
}
