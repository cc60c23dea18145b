// What polls and reports have in common: a call that ends, pauses that can be ended, and when to try again.

const LONGEST_PAUSE_SECONDS = 60;
const LONGEST_RETRY_AFTER_SECONDS = 300;
const MOST_BYTES = 64 * 1024 * 1024; // of an answer, unpacked; rules are 1 MB at most, and their state some more

/**
 * Make a call that is given up after some seconds, reading its body included; `read` is given the response.
 *
 * Redirects are not followed: usage would go to whoever is named there, and rules come from them.
 */
export async function call(fetch, url, { seconds, signal, ...request }, read) {
  const ending = new AbortController();
  const end = () => ending.abort();
  if (signal?.aborted) end();
  signal?.addEventListener("abort", end);
  const timer = setTimeout(end, seconds * 1000);
  try {
    const response = await fetch(url, { ...request, redirect: "manual", signal: ending.signal });
    // A browser tells of a redirect as of status 0.
    if (response.status === 0 || (response.status >= 300 && response.status < 400 && response.status !== 304)) {
      await response.body?.cancel();
      throw new Error(`answered ${response.status}: redirects are not followed, give the address itself`);
    }
    return await read(response);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", end);
  }
}

/** Return the body of a response; one without an end is given up before it fills the memory. */
export async function bytesOf(response) {
  if (!response.body?.getReader) return new Uint8Array(await response.arrayBuffer());
  const reader = response.body.getReader();
  const chunks = [];
  let size = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    size += part.value.byteLength;
    if (size > MOST_BYTES) {
      await reader.cancel();
      throw new Error(`the answer is over ${MOST_BYTES} bytes`);
    }
    chunks.push(part.value);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

/** Say why a call failed, in a few words. */
export function reasonOf(error) {
  if (error.name === "AbortError") return "no answer in time";
  const cause = error.cause?.code ?? error.cause?.message;
  return cause ? `${error.message} (${cause})` : error.message;
}

/** Wait for some seconds, or until the signal ends it. A process may end meanwhile. */
export function pause(seconds, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    timer.unref?.();
    signal?.addEventListener("abort", done);
  });
}

/** Return how many seconds to wait after so many failures in a row: twice as long each time, and never alike. */
export function backoff(failures, retryAfterSeconds) {
  const longest = Math.min(LONGEST_PAUSE_SECONDS, 2 ** (failures - 1));
  return Math.max(longest * (0.5 + Math.random() / 2), retryAfterSeconds);
}

/** Return `seconds` give or take a fifth, so that a thousand instances do not ask at one moment. */
export function jittered(seconds) {
  return seconds * (0.8 + Math.random() * 0.4);
}

/** Return how many seconds a response asks to wait before the next try; 0 where it does not say. */
export function retryAfter(response) {
  const said = response.headers.get("Retry-After") ?? "";
  const seconds = /^[0-9]+$/.test(said) ? Number(said) : (Date.parse(said) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), LONGEST_RETRY_AFTER_SECONDS) : 0;
}

/** Return a random UUID, where there is no `crypto.randomUUID` too: Node.js 18, pages without TLS. */
export function uuid() {
  if (globalThis.crypto?.randomUUID) return globalThis.crypto.randomUUID();
  const bytes = Array.from({ length: 16 }, () => Math.floor(Math.random() * 256));
  globalThis.crypto?.getRandomValues?.(new Uint8Array(16)).forEach((byte, index) => (bytes[index] = byte));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
