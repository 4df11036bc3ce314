// @ts-check
// Questions to the console's server.

/** Said instead of an answer. */
export class Refused extends Error {}

/**
 * @param {"GET" | "POST" | "DELETE"} method @param {string} path @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function ask(method, path, body) {
  const response = await request(method, path, body);
  const text = await response.text();
  const answer = text && response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text;
  if (!response.ok) throw new Refused(answer?.reason ?? text.trim() ?? `the console answered ${response.status}`);
  return answer;
}

/** @param {string} method @param {string} path @param {unknown} [body] @param {AbortSignal} [signal] */
async function request(method, path, body, signal) {
  /** @type {Record<string, string>} */
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  try {
    return await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused("the console does not answer: `make status` shows whether it runs");
  }
}

/**
 * Asks for a journey, and hands over each part as it arrives.
 * @param {string} id @param {(part: any) => void} each @param {AbortSignal} signal
 */
export async function askJourney(id, each, signal) {
  const response = await request("POST", "/api/journey", { id }, signal);
  if (!response.ok || !response.body) {
    const answer = await response.json().catch(() => ({}));
    throw new Refused(answer.reason ?? `the console answered ${response.status}`);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) each(JSON.parse(line));
  }
}

/** Exchanges the token behind the `#` for the cookie, and takes it out of the address. */
export async function exchange() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  history.replaceState(null, "", location.pathname);
  await ask("POST", "/api/session", { token });
}
