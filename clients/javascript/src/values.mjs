// Text, numbers and instants as the specification reads them.

export const TAG = "tag:";
export const LABELS = new Set(["use_case", "team"]); // compared trimmed, ASCII letters folded

// --- Text

const SURROGATE = /[\ud800-\udfff]/;
const HALF = /[\ud800-\udfff]/gu; // with the flag u a pair is one code point, and none of these

/** Return a text with U+FFFD for each half of a surrogate pair that stands alone. */
export function sound(text) {
  return SURROGATE.test(text) ? text.replace(HALF, "\ufffd") : text;
}

/** Return a value of JSON with every text in it sound, names of members too; the same value where all are. */
export function soundThroughout(value) {
  if (typeof value === "string") return sound(value);
  if (Array.isArray(value)) {
    const items = value.map(soundThroughout);
    return items.every((item, index) => item === value[index]) ? value : items;
  }
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value);
  const read = members.map(([name, member]) => [sound(name), soundThroughout(member)]);
  const same = read.every(([name, member], index) => name === members[index][0] && member === members[index][1]);
  return same ? value : Object.fromEntries(read);
}

/** Return a text with A to Z as a to z; other letters stay. */
export function lowered(text) {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** Return a label as use cases and teams are compared: without spaces at its ends, A to Z as a to z. */
export function folded(label) {
  let start = 0;
  let end = label.length;
  while (start < end && isSpace(label.charCodeAt(start))) start += 1;
  while (end > start && isSpace(label.charCodeAt(end - 1))) end -= 1;
  return lowered(sound(label.slice(start, end)));
}

function isSpace(unit) {
  return unit === 32 || unit === 9 || unit === 13 || unit === 10;
}

/** Compare two sound texts code point by code point: negative, 0 or positive. */
export function compareText(one, other) {
  const shorter = Math.min(one.length, other.length);
  for (let at = 0; at < shorter; at += 1) {
    const a = one.charCodeAt(at);
    const b = other.charCodeAt(at);
    if (a !== b) {
      // Units of a pair stand for code points above all others, U+E000 to U+FFFF included.
      const aIsPaired = a >= 0xd800 && a < 0xe000;
      const bIsPaired = b >= 0xd800 && b < 0xe000;
      return aIsPaired === bIsPaired ? a - b : aIsPaired ? 1 : -1;
    }
  }
  return one.length - other.length;
}

/** Return a tag of a request; undefined where it is missing or not text. */
export function tagOf(context, name) {
  const tags = context.tags;
  if (typeof tags !== "object" || tags === null || Array.isArray(tags) || !Object.hasOwn(tags, name)) return undefined;
  const value = tags[name];
  return typeof value === "string" ? value : undefined;
}

// --- Numbers

const DECIMAL = /^(-?)([0-9]{1,18})(?:\.([0-9]{1,18}))?$/;
const PLACES = 18;
const UNIT = 10n ** 18n;
const KEPT = 4096; // texts with what was read in them: a request's complexity is read by each rule that asks for it
const read = new Map();

/** Return an integer or a decimal text as units of 1e-18, exactly; undefined for anything else. */
export function number(value) {
  if (typeof value === "string") return decimal(value);
  return Number.isSafeInteger(value) ? BigInt(value) * UNIT : undefined;
}

/** Return a request's number as a decision gives it: text as written, an integer as its digits; else undefined. */
export function decimalText(value) {
  if (typeof value === "string") return decimal(value) === undefined ? undefined : value;
  return Number.isSafeInteger(value) ? String(value) : undefined;
}

function decimal(text) {
  if (text.length > 2 * PLACES + 2) return undefined;
  if (read.has(text)) return read.get(text);
  const match = DECIMAL.exec(text);
  let units;
  if (match !== null) {
    units = BigInt(match[2]) * UNIT + BigInt((match[3] ?? "").padEnd(PLACES, "0"));
    if (match[1]) units = -units;
  }
  if (read.size >= KEPT) read.clear();
  read.set(text, units);
  return units;
}

// --- Instants: { ms, us }, milliseconds since 1970 and the microseconds beyond them.

const INSTANT = /^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?Z$/;

/** Read an instant of a document; null, which is no bound, for null and undefined. */
export function instant(text) {
  if (text === null || text === undefined) return null;
  const match = INSTANT.exec(text);
  if (match === null) throw new TypeError(`no instant of RFC 3339 in UTC, with Z: ${text}`);
  const [, year, month, day, hour, minute, second, fraction = ""] = match;
  const digits = fraction.padEnd(6, "0");
  const at = new Date(0);
  at.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  at.setUTCHours(Number(hour), Number(minute), Number(second), Number(digits.slice(0, 3)));
  return { ms: at.getTime(), us: Number(digits.slice(3)) };
}

/** Read the instant of a decision: a Date, milliseconds since 1970, RFC 3339 text, or now for undefined. */
export function momentOf(now) {
  if (now === undefined) return { ms: Date.now(), us: 0 };
  if (typeof now === "string") return instant(now);
  const exact = Number(now);
  const ms = Math.floor(exact);
  if (!Number.isFinite(ms)) throw new TypeError("the instant of a decision is a Date, milliseconds or a text");
  return { ms, us: Math.floor((exact - ms) * 1000) };
}

/** Say whether one instant comes before another. */
export function before(one, other) {
  return one.ms < other.ms || (one.ms === other.ms && one.us < other.us);
}

// --- Zones

const zones = new Map();

/** Return what tells hour (0 to 23) and weekday (1 is Monday) of an instant; null for a zone that nobody knows. */
export function zone(name) {
  if (!zones.has(name)) zones.set(name, makeZone(name));
  return zones.get(name);
}

const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

function makeZone(name) {
  let format;
  try {
    format = new Intl.DateTimeFormat("en-US", { timeZone: name, hourCycle: "h23", hour: "numeric", weekday: "short" });
  } catch {
    return null;
  }
  // Intl also takes offsets, which are no IANA names, and names in any case.
  const known = format.resolvedOptions().timeZone;
  if (!/^[A-Za-z]/.test(name) || (known !== name && known.toLowerCase() === name.toLowerCase())) return null;
  let last = NaN; // the second that was asked for last: requests come many to a second
  let told = null;
  return (now) => {
    const second = Math.floor(now.ms / 1000);
    if (second !== last) {
      const parts = Object.fromEntries(format.formatToParts(now.ms).map((part) => [part.type, part.value]));
      told = { hour: Number(parts.hour) % 24, weekday: WEEKDAYS.indexOf(parts.weekday) + 1 };
      last = second;
    }
    return told;
  };
}
