// Whether a document is valid: the part of JSON Schema 2020-12 that the specification's schemas use, compiled to
// functions. A keyword that is not known here is an error when this is loaded, never passed over.

import { definitions, document } from "./schema.mjs";
import { instant } from "./values.mjs";

const NESTING = 64;
const REF = /^(?:urn:tollkeeper:spec:1:content)?#\/\$defs\/(.+)$/;

/**
 * Return the first place where a value breaks the schema of documents as served, as `{pointer, text}`; null for a
 * valid document.
 */
export function problemOf(value) {
  if (isTooDeep(value, 0)) return { pointer: "", text: `nested more than ${NESTING} deep` };
  const problem = check(value);
  if (problem === null) return null;
  const pointer = problem.path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
  return { pointer, text: problem.text };
}

function isTooDeep(value, depth) {
  if (depth === NESTING) return true;
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some((child) => isTooDeep(child, depth + 1));
}

// A check takes a value and gives null or what is wrong: { path, text }.

const wrong = (text) => ({ path: [], text });

function under(key, problem) {
  problem?.path.unshift(key);
  return problem;
}

function first(values, find) {
  for (const value of values) {
    const problem = find(value);
    if (problem !== null) return problem;
  }
  return null;
}

const compiled = new Map();

function definition(name) {
  if (!compiled.has(name)) {
    if (!Object.hasOwn(definitions, name)) throw new Error(`the schema has no definition ${name}`);
    compiled.set(name, () => null); // while it is compiled; one that refers to itself finds the check by then
    compiled.set(name, compile(definitions[name]));
  }
  return (value) => compiled.get(name)(value);
}

function compile(schema) {
  if (schema === true) return () => null;
  if (schema === false) return () => wrong("is not allowed here");
  const checks = Object.keys(schema)
    .filter((keyword) => !HELPERS.has(keyword))
    .map((keyword) => {
      if (!Object.hasOwn(KEYWORDS, keyword)) throw new Error(`the schema has a keyword that is not known: ${keyword}`);
      return KEYWORDS[keyword](schema[keyword], schema);
    });
  return (value) => first(checks, (one) => one(value));
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value) => typeof value === "string";
const isNumber = (value) => typeof value === "number";

const TYPES = {
  object: isObject,
  array: Array.isArray,
  string: isText,
  integer: Number.isInteger,
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
};

const HELPERS = new Set(["then", "else"]); // read by `if`

const holdsWhere = (applies, holds, text) => (value) => (!applies(value) || holds(value) ? null : wrong(text));

const KEYWORDS = {
  type(names) {
    const wanted = [names].flat();
    return (value) => (wanted.some((name) => TYPES[name](value)) ? null : wrong(`is no ${wanted.join(" or ")}`));
  },
  const: (wanted) => (value) => (value === wanted ? null : wrong(`is not ${JSON.stringify(wanted)}`)),
  enum: (wanted) => (value) => (wanted.includes(value) ? null : wrong(`is none of ${JSON.stringify(wanted)}`)),

  minimum: (least) => holdsWhere(isNumber, (value) => value >= least, `is less than ${least}`),
  maximum: (most) => holdsWhere(isNumber, (value) => value <= most, `is more than ${most}`),

  minLength: (least) => holdsWhere(isText, (text) => codePoints(text) >= least, `is shorter than ${least}`),
  maxLength: (most) =>
    holdsWhere(isText, (text) => text.length <= most || codePoints(text) <= most, `is longer than ${most}`),
  pattern(source) {
    // `.` of ours is every character but a line feed, as in most languages; to this one CR and others end a line too.
    const pattern = new RegExp(source.replace(/^\^tag:\.$/, "^tag:[^\\n]"), "u");
    return holdsWhere(isText, (text) => pattern.test(text), `does not match ${source}`);
  },
  format: (name) => holdsWhere(isText, FORMATS[name], `is no ${name}`),

  items(schema) {
    const item = compile(schema);
    return (value) =>
      Array.isArray(value) ? first(value.keys(), (index) => under(index, item(value[index]))) : null;
  },
  minItems: (least) => holdsWhere(Array.isArray, (items) => items.length >= least, `has less than ${least} items`),
  maxItems: (most) => holdsWhere(Array.isArray, (items) => items.length <= most, `has more than ${most} items`),
  uniqueItems: () =>
    holdsWhere(Array.isArray, (items) => new Set(items.map((item) => JSON.stringify(item))).size === items.length, "has an item twice"),

  required: (names) => (value) =>
    isObject(value) ? first(names, (name) => (Object.hasOwn(value, name) ? null : wrong(`${name} is missing`))) : null,
  minProperties: (least) => holdsWhere(isObject, (value) => Object.keys(value).length >= least, "is empty"),
  maxProperties: (most) =>
    holdsWhere(isObject, (value) => Object.keys(value).length <= most, `has more than ${most} members`),
  properties(schemas) {
    const members = Object.entries(schemas).map(([name, schema]) => [name, compile(schema)]);
    return (value) =>
      isObject(value)
        ? first(members, ([name, member]) => (Object.hasOwn(value, name) ? under(name, member(value[name])) : null))
        : null;
  },
  patternProperties(schemas) {
    const members = Object.entries(schemas).map(([source, schema]) => [KEYWORDS.pattern(source), compile(schema)]);
    return (value) =>
      isObject(value)
        ? first(members, ([fits, member]) =>
            first(Object.keys(value), (name) => (fits(name) === null ? under(name, member(value[name])) : null)),
          )
        : null;
  },
  additionalProperties(schema, { properties = {}, patternProperties = {} }) {
    const patterns = Object.keys(patternProperties).map(KEYWORDS.pattern);
    const other = compile(schema);
    const isKnown = (name) => Object.hasOwn(properties, name) || patterns.some((fits) => fits(name) === null);
    return (value) =>
      isObject(value)
        ? first(Object.keys(value), (name) => (isKnown(name) ? null : under(name, other(value[name]))))
        : null;
  },
  propertyNames(schema) {
    const fits = compile(schema);
    return (value) => (isObject(value) ? first(Object.keys(value), (name) => under(name, fits(name))) : null);
  },

  $ref(target) {
    const match = REF.exec(target);
    if (match === null) throw new Error(`the schema refers to what is not known: ${target}`);
    return definition(match[1]);
  },
  allOf(schemas) {
    const checks = schemas.map(compile);
    return (value) => first(checks, (one) => one(value));
  },
  anyOf(schemas) {
    const checks = schemas.map(compile);
    return (value) => (checks.some((one) => one(value) === null) ? null : wrong("fits none of what is allowed here"));
  },
  oneOf(schemas) {
    const checks = schemas.map(compile);
    return (value) =>
      checks.filter((one) => one(value) === null).length === 1 ? null : wrong("does not fit exactly one of its forms");
  },
  not(schema) {
    const unwanted = compile(schema);
    return (value) => (unwanted(value) === null ? wrong("is not allowed here") : null);
  },
  if(schema, { then = true, else: otherwise = true }) {
    const [condition, holds, fails] = [schema, then, otherwise].map(compile);
    return (value) => (condition(value) === null ? holds(value) : fails(value));
  },
};

function codePoints(text) {
  return text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0);
}

const MOMENT = /^([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:Z|[+-]([0-9]{2}):([0-9]{2}))$/i;

const FORMATS = {
  "date-time"(text) {
    const [, day, hour, minute, second, offsetHour = 0, offsetMinute = 0] = MOMENT.exec(text) ?? [];
    return isDate(day) && hour < 24 && minute < 60 && second < 60 && offsetHour < 24 && offsetMinute < 60;
  },
  date: isDate,
};

function isDate(text) {
  if (!/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(text)) return false;
  return new Date(instant(`${text}T00:00:00Z`).ms).toISOString().slice(0, 10) === text;
}

const check = compile(document);
