// Reads commands as lines of JSON, one at a time, and writes what they give.

import { createInterface } from "node:readline";

export async function answering(commands) {
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const { do: name, ...given } = JSON.parse(line);
    let answer;
    try {
      answer = { value: (await commands[name](given)) ?? null };
    } catch (error) {
      answer = { error: error.stack };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}
