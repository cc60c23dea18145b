import type { Client, Settings, Spool, Storage } from "./index.d.mts";

export * from "./index.d.mts";

/** What a setting leaves out is read from TOLLKEEPER_URL, _KEY, _ENVIRONMENT, _PUBLIC_KEY and _CLIENT_DIR. */
export function createClient(
  settings?: Partial<Settings> & {
    /** Rules and events are kept there; each process has a directory of its own. */
    dir?: string;
  },
): Client;

/** Keep rules in a file that is replaced whole. */
export function fileStorage(path: string): Storage;

/** Keep events in files until they were answered. */
export function fileSpool(dir: string): Spool<string>;
