// Ed25519 signatures of rules, for installations that sign them (`Tollkeeper-Signature: ed25519=BASE64; keyid=ID`).

const SIGNATURE = /(?:^|[;\s])ed25519=([A-Za-z0-9+/]{86}==)(?:$|[;\s])/;

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/**
 * Return what says whether a body was signed with one of these keys (32 bytes in base64, several by commas).
 *
 * Throws a TypeError for what is no key, and where this runtime has no Web Crypto.
 */
export function verifier(publicKeys, crypto) {
  const keys = publicKeys.split(",").map((text) => bytesOf(text.trim()));
  if (keys.some((key) => key.length !== 32)) throw new TypeError("publicKey is 32 bytes in base64");
  if (!crypto?.subtle) throw new TypeError("this runtime has no Web Crypto to check signatures with");
  return async (bytes, header) => {
    const signature = SIGNATURE.exec(header ?? "");
    if (signature === null) return false;
    for (const raw of keys) {
      const key = await crypto.subtle.importKey("raw", raw, { name: "Ed25519" }, false, ["verify"]);
      if (await crypto.subtle.verify({ name: "Ed25519" }, key, bytesOf(signature[1]), bytes)) return true;
    }
    return false;
  };
}
