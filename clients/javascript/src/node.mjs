// What Node.js adds: settings from the environment, rules and events kept on disk.

import { webcrypto } from "node:crypto";
import { appendFileSync, mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";

import { createClient as create } from "./client.mjs";
import { uuid } from "./http.mjs";

export * from "./index.mjs";

/**
 * Make a client. What a setting leaves out is read from TOLLKEEPER_URL, _KEY, _ENVIRONMENT, _PUBLIC_KEY and
 * TOLLKEEPER_CLIENT_DIR (`dir`: rules and events are kept there; each process has a directory of its own).
 */
export function createClient({ dir = process.env.TOLLKEEPER_CLIENT_DIR, ...settings } = {}) {
  const environment = settings.environment ?? process.env.TOLLKEEPER_ENVIRONMENT ?? "production";
  return create({
    url: process.env.TOLLKEEPER_URL,
    key: process.env.TOLLKEEPER_KEY,
    publicKey: process.env.TOLLKEEPER_PUBLIC_KEY,
    crypto: webcrypto, // which Node.js 18 has no global of
    instance: `${hostname()}:${process.pid}`.replace(/[^A-Za-z0-9._:@-]/g, "-").slice(-128),
    ...(dir ? { storage: fileStorage(join(dir, `rules-${encodeURIComponent(environment)}`)), spool: fileSpool(dir) } : {}),
    ...settings,
    environment,
  });
}

/** Keep rules in a file that is replaced whole: a crash leaves the one before. */
export function fileStorage(path) {
  return {
    async load() {
      try {
        return await readFile(path, "utf8");
      } catch (error) {
        if (error.code === "ENOENT") return null;
        throw error;
      }
    },
    async save(text) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      // Not by the process's number alone: each container that shares the directory may have a process 1.
      const next = `${path}.${process.pid}-${uuid()}.next`;
      try {
        const file = await open(next, "wx", 0o600);
        try {
          await file.writeFile(text);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(next, path);
      } catch (error) {
        rmSync(next, { force: true });
        throw error;
      }
    },
  };
}

const EVENTS_IN_A_FILE = 1000;
const EVENTS = /^events-.*\.jsonl$/;

/**
 * Keep events in files, a line each, until they were answered. They survive the end of the process, not that of the
 * machine: nothing waits for the disk.
 */
export function fileSpool(dir) {
  const waiting = new Map(); // file: how many of its events were not answered yet
  let current = null;
  let written = 0;
  return {
    load() {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      const files = readdirSync(dir).filter((name) => EVENTS.test(name)).sort();
      return files.flatMap((name) => {
        const path = join(dir, name);
        const entries = readFileSync(path, "utf8").split("\n").filter(isWhole).map((text) => ({ text, token: path }));
        waiting.set(path, entries.length);
        if (entries.length === 0) forget(path);
        return entries;
      });
    },
    add(text) {
      if (current === null || written >= EVENTS_IN_A_FILE) {
        current = join(dir, `events-${String(Date.now()).padStart(15, "0")}-${uuid()}.jsonl`);
        written = 0;
        waiting.set(current, 0);
      }
      appendFileSync(current, `${text}\n`, { mode: 0o600 });
      written += 1;
      waiting.set(current, waiting.get(current) + 1);
      return current;
    },
    done(path) {
      waiting.set(path, waiting.get(path) - 1);
      if (waiting.get(path) <= 0) forget(path);
    },
  };

  function forget(path) {
    waiting.delete(path);
    if (path === current) current = null;
    rmSync(path, { force: true });
  }
}

// The last line of a process that was killed may be half there.
function isWhole(line) {
  try {
    return line !== "" && typeof JSON.parse(line) === "object";
  } catch {
    return false;
  }
}
