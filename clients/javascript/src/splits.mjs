// The hash of splits: murmur3 x86 32 over UTF-8, seed 0.

const encoder = new TextEncoder(); // writes U+FFFD for each half of a surrogate pair that stands alone

/** Return the murmur3 x86 32 hash of bytes, unsigned. */
export function murmur3(bytes) {
  const whole = bytes.length & ~3;
  let hash = 0;
  for (let at = 0; at < whole; at += 4) {
    hash ^= mixed(bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24));
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let at = bytes.length - 1; at >= whole; at -= 1) rest = (rest << 8) | bytes[at];
  if (bytes.length > whole) hash ^= mixed(rest);
  hash ^= bytes.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function mixed(block) {
  const turned = Math.imul(block, 0xcc9e2d51);
  return Math.imul((turned << 15) | (turned >>> 17), 0x1b873593);
}

/** Return the hash of a text, unsigned. */
export function hash(text) {
  return murmur3(encoder.encode(text));
}

/** Return a key's place among 10000 in the split called `name`. */
export function split(name, key) {
  // The product stays below 2^53, so this is exact.
  return Math.floor((hash(`${name}:${key}`) * 10000) / 0x100000000);
}
