// @ts-check
// The live topics, as server-sent events.

/** @type {Map<string, ((value: any) => void)[]>} */
const listeners = new Map();
/** @type {Map<string, any>} */
const newest = new Map();
const TOPICS = [
  "acknowledged", "alerts", "burst", "components", "drill", "feed", "incident", "letters", "orders", "sample", "samples",
  "simulation", "sources",
];

/** Calls with the newest value of a topic, and with each later one. @param {string} topic @param {(value: any) => void} listener */
export function on(topic, listener) {
  listeners.set(topic, [...(listeners.get(topic) ?? []), listener]);
  if (newest.has(topic)) listener(newest.get(topic));
}

/** The newest value of a topic. @param {string} topic */
export function known(topic) {
  return newest.get(topic);
}

/** Connects, and stays connected. @param {(state: "live" | "connecting") => void} show */
export function connect(show) {
  const source = new EventSource("/api/events");
  source.addEventListener("open", () => show("live"));
  source.addEventListener("error", () => {
    show("connecting");
    // The browser connects again by itself, unless it was answered with an error.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => connect(show), 2000);
  });
  for (const topic of TOPICS) {
    source.addEventListener(topic, (event) => {
      const value = JSON.parse(event.data);
      if (topic !== "orders" && topic !== "sample") newest.set(topic, value);
      for (const listener of listeners.get(topic) ?? []) listener(value);
    });
  }
}
