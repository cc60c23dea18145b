// A form read as the server reads it: the request, or what is wrong with its fields.

const TEXTS = [
  "use_case", "team", "task", "user_tier", "data_class", "region", "session", "user", "request_id", "gateway", "gateway_kind",
];
const NUMBERS = ["complexity", "input_tokens", "context_needed", "latency_budget_ms"];
const DECIMAL = /^-?[0-9]{1,18}(\.[0-9]{1,18})?$/;
const LONGEST = 256; // code points

// What Python takes for space, which is not all that this language does.
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const ENDS = new RegExp(`^[${SPACE}]+|[${SPACE}]+$`, "g");
const LINE_END = /\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/;

const strip = (text) => text.replace(ENDS, "");
const isLong = (text) => text.length > LONGEST && [...text].length > LONGEST;

/** Return `{context, errors}`: the request, and sentences by the names of fields. */
export function readRequest(form, words) {
  const context = {};
  const errors = {};
  const said = (name) => form.elements[name].value;
  for (const name of TEXTS) {
    const text = strip(said(name));
    if (isLong(text)) errors[name] = words.line;
    else if (text) context[name] = text;
  }
  for (const name of NUMBERS) {
    const text = strip(said(name));
    if (text && !DECIMAL.test(text)) errors[name] = words.number;
    else if (text) context[name] = text;
  }
  const modalities = said("modalities").split(",").map(strip).filter(Boolean);
  if (modalities.some(isLong)) errors.modalities = words.line;
  else if (modalities.length > 0) context.modalities = modalities;
  if (said("batch")) context.batch = said("batch") === "yes";
  readTags(said("tags"), context, errors, words);
  if (said("text")) context.text = said("text");
  return { context, errors };
}

function readTags(text, context, errors, words) {
  const tags = Object.create(null);
  for (const line of text.split(LINE_END)) {
    if (!strip(line)) continue;
    const at = line.indexOf("=");
    if (at < 0 || !strip(line.slice(0, at))) {
      errors.tags = words.tag;
      return;
    }
    tags[strip(line.slice(0, at))] = strip(line.slice(at + 1));
  }
  if (Object.values(tags).some(isLong)) errors.tags = words.line;
  else if (Object.keys(tags).length > 0) context.tags = tags;
}

/** Return the fields that say something, save the text: what may stand in an address and be sent. */
export function fieldsWithoutText(form) {
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value && name !== "text" && name !== "csrfmiddlewaretoken") fields.set(name, value);
  }
  return fields;
}
