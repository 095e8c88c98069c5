"use strict";
// Signs in. A static key is sent as it is; of a root key only an attempt key is sent, which works once.
const form = document.getElementById("form"), field = document.getElementById("key"), said = document.getElementById("said");
const button = form.querySelector("button"), letters = new TextEncoder();
const ROOT = /^carma_([a-z2-7]{8})_pi_[0-9]{6}_perm_([rwha]{1,4})_meta_0_quantum_[0-9a-f]{8}_([0-9A-Za-z]{43})[0-9A-Za-z]{6}$/;
const STATIC = /^carma_static_[a-z2-7]{8}_perm_[rwha]{1,4}_[0-9A-Za-z]{49}$/;
const PLACES = 1000000, COUNTER_BITS = 32n;

const sized = (text) => `${text.length}:${text}`;
const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

// A signer as `carma.access.keys.signer` describes it.
async function signer(name, permissions, secret) {
  const given = await crypto.subtle.importKey("raw", letters.encode(secret), "HKDF", false, ["deriveKey"]);
  const how = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: letters.encode("carma/1/attempt tag") };
  const key = await crypto.subtle.deriveKey(how, given, { name: "HMAC", hash: "SHA-256", length: 256 }, false, ["sign"]);
  return async (target, audience, nonce, session, counter) => {
    const number = (BigInt(session) << COUNTER_BITS) | BigInt(counter);
    const digest = new DataView(await crypto.subtle.digest("SHA-256", letters.encode(`${name}/${number}`)));
    const place = String(digest.getUint32(0) % PLACES).padStart(6, "0");
    const header = `carma_${name}_pi_${place}_perm_${permissions}_meta_${number}_quantum_`;
    const date = String(Math.floor(Date.now() / 1000));
    const fields = [header, audience, nonce, String(session), "POST", target, "", "", date].map(sized).join("");
    const tag = hex((await crypto.subtle.sign("HMAC", key, letters.encode(`carma/1 ${fields}`))).slice(0, 16));
    const headers = { authorization: `Carma ${header}${tag}`, "carma-date": date };
    return nonce ? { ...headers, "carma-nonce": nonce } : headers;
  };
}

const send = (headers) => fetch("/sign-in", { method: "POST", headers, credentials: "same-origin", redirect: "error" });

async function enterByRoot(match) {
  if (!globalThis.crypto?.subtle) throw new Error("A root key can be used here only over TLS or on this machine.");
  const sign = await signer(match[1], match[2], match[3]);
  let nonce = "", audience = "carma", session = 0, answer;
  for (let attempt = 0; attempt < 3; attempt++) {
    const counter = session ? 1 : crypto.getRandomValues(new Uint32Array(1))[0];
    answer = await send(await sign("/sign-in", audience, nonce, session, counter));
    if (answer.status !== 401 || !answer.headers.get("carma-nonce")) break;
    nonce = answer.headers.get("carma-nonce");
    audience = answer.headers.get("carma-audience") ?? audience;
    session = Number(answer.headers.get("carma-session") ?? 0);
  }
  return answer;
}

function enter(text) {
  const root = ROOT.exec(text);
  if (root) return enterByRoot(root);
  if (STATIC.test(text)) return send({ authorization: `Bearer ${text}` });
  throw new Error("This is not a key. A key begins with carma_; a fingerprint opens nothing.");
}

async function problemOf(answer) {
  try {
    const problem = await answer.json();
    return answer.status === 401 ? "This key opens nothing here." : String(problem.detail ?? "");
  } catch {
    return `The server answered ${answer.status}.`;
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = field.value.trim();
  said.textContent = "";
  button.disabled = true;
  try {
    const answer = await enter(text);
    if (answer.ok) {
      field.value = "";
      const to = new URLSearchParams(location.search).get("to") ?? "/";
      location.replace(/^\/(?![/\\])[\w\-/]*$/.test(to) ? to : "/");
      return;
    }
    said.textContent = await problemOf(answer);
  } catch (error) {
    said.textContent = error instanceof TypeError ? "The server cannot be reached." : error.message;
  }
  button.disabled = false;
  field.focus();
  field.select();
});
