import { NoRules, createClient, eventOf, fileStorage } from "../../../clients/javascript/src/node.mjs";
import { answering } from "./answering.mjs";

let client;
let problems = [];
let versions = [];

await answering({
  async create(settings) {
    await client?.close(0);
    problems = [];
    versions = [];
    const heard = { onProblem: (text) => problems.push(text), onRules: ({ version }) => versions.push(version) };
    client = createClient({ timeoutSeconds: 5, instance: "i-1", ...settings, ...heard });
  },
  poll: (options) => client.poll(options),
  pollAside() {
    client.poll();
  },
  async start() {
    await client.start();
  },
  close: ({ seconds }) => client.close(seconds),
  report: ({ events }) => events.map((event) => client.report(event)),
  reportWhatIsNoJson: () => client.report({ model: "a", input_tokens: 1n }),
  flush: ({ seconds }) => client.flush(seconds),
  status: () => client.status(),
  heard: () => ({ problems, versions }),
  decide({ context }) {
    try {
      return client.decide(context).version;
    } catch (error) {
      if (error instanceof NoRules) return error.message;
      throw error;
    }
  },
  event: ({ context, ...fields }) => eventOf(client.decide(context), context, fields),
  offering: ({ name }) => client.offering(name),
  async saveAtOnce({ path, texts }) {
    const saved = await Promise.allSettled(texts.map((text) => fileStorage(path).save(text)));
    return [saved.map(({ status }) => status), await fileStorage(path).load()];
  },
  pid: () => process.pid,
});
