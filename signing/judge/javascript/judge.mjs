// Answers questions about webhooks: one JSON array of them on standard input, one of answers on standard output. The official libraries judge v1. None of them
// knows v1a (November 2026), so that is judged by OpenSSL, which Node brings, and by the words of the specification alone.
import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { Webhook as Standard } from "standardwebhooks";
import { Webhook as Svix } from "svix";

const tolerance = 5 * 60;
const okp = (parts) => ({ key: { kty: "OKP", crv: "Ed25519", ...parts }, format: "jwk" });
const raw = (text, prefix, size) => {
  const bytes = Buffer.from(text.startsWith(prefix) ? text.slice(prefix.length) : "", "base64");
  if (bytes.length !== size) throw new Error(`not ${prefix} and ${size} bytes`);
  return bytes;
};

class OpenSSL {
  constructor(key) {
    this.text = key;
  }

  verify(body, headers) {
    const x = raw(this.text, "whpk_", 32).toString("base64url");
    const at = Number(headers["webhook-timestamp"]);
    if (!(Math.abs(Date.now() / 1000 - at) <= tolerance)) throw new Error("Message timestamp is not of now");
    const signed = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
    for (const entry of headers["webhook-signature"].split(" ")) {
      const [version, text] = entry.split(",");
      if (version === "v1a" && verify(null, signed, createPublicKey(okp({ x })), Buffer.from(text, "base64"))) return;
    }
    throw new Error("No matching signature found");
  }

  sign(id, at, body) {
    const both = raw(this.text, "whsk_", 64);
    const parts = { d: both.subarray(0, 32).toString("base64url"), x: both.subarray(32).toString("base64url") };
    const signed = Buffer.from(`${id}.${Math.floor(at.getTime() / 1000)}.${body}`);
    return "v1a," + sign(null, signed, createPrivateKey(okp(parts))).toString("base64");
  }
}

const judges = { standardwebhooks: Standard, svix: Svix, openssl: OpenSSL };
const answer = (q) => {
  try {
    const judge = new judges[q.judge](q.key);
    if (q.sign) return { signature: judge.sign(q.id, new Date(q.at * 1000), q.body) };
    judge.verify(q.body, q.headers);
    return { accepted: true };
  } catch (err) {
    return { refused: err.message };
  }
};
console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(answer)));
