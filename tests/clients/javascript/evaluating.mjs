import { compile } from "../../../clients/javascript/src/evaluator.mjs";
import { hash, split } from "../../../clients/javascript/src/splits.mjs";
import { problemOf } from "../../../clients/javascript/src/validator.mjs";
import { answering } from "./answering.mjs";

await answering({
  explain: ({ document, context, now }) => compile(document).explain(context, now),
  decide: ({ document, context, now }) => compile(document).decide(context, now),
  problem: ({ document }) => problemOf(document),
  hash: ({ text }) => hash(text),
  split: ({ name, key }) => split(name, key),
  milliseconds({ document, contexts, times }) {
    const compiled = compile(document);
    const took = [];
    for (let n = 0; n < times; n += 1) {
      const start = performance.now();
      compiled.decide(contexts[n % contexts.length], 1795000000000);
      took.push(performance.now() - start);
    }
    return took;
  },
});
