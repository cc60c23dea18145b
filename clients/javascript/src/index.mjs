export { Client, NoRules, createClient } from "./client.mjs";
export { compile } from "./evaluator.mjs";
export { eventOf } from "./events.mjs";
export { problemOf } from "./validator.mjs";
