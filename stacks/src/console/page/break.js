// @ts-check
// Break things, see alerts arrive, and find the cause.

import { ask } from "./ask.js";
import { away, byId, clock, duration, h, show, words } from "./dom.js";
import { known, on } from "./events.js";
import { alertsLink } from "./links.js";

/** The knobs of each simulation: name and label. @type {Record<string, [string, string][]>} */
const KNOBS = {
  payment: [["latency", "Time to settle"], ["declineRate", "Declined"], ["failureRate", "Attempts that fail"]],
  mailer: [["latency", "Time to send"], ["failureRate", "Attempts that fail"], ["paused", "Send nothing"]],
};
const MAX_LATENCY = 5000;

/** @type {(text: string) => void} */
let notice = () => {};

/** @param {import("./links.js").About} about @param {(text: string) => void} say */
export function breaks(about, say) {
  notice = say;
  const part = (/** @type {string} */ id, /** @type {string} */ title, /** @type {string} */ text) =>
    h("section", { class: "card", "aria-labelledby": `${id}-title` }, h("h3", { id: `${id}-title` }, title), h("p", { class: "quiet" }, text), h("div", { id }));
  show(byId("break"),
    h("h2", { class: "hidden" }, "Break and find"),
    h("div", { class: "grid" },
      part("knobs", "Simulations", "Slow or failing parts of payment and the mailer; they last until the service stops."),
      part("components", "Components", "What the stack runs. Stop one, and watch what waits for it."),
      part("alerts", "Alerts", "As Alertmanager delivered them to the gateway, with their clock."),
      part("drill", "Drills", about.deliversAlerts ? "Cause an alert, wait for its delivery, repair, wait for its end." : `${about.title} delivers no alerts, so nothing can be drilled.`),
      part("incident", "Incident", "Something breaks at random. Find out what, from the signals alone."),
      part("letters", "Dead letters and parked messages", "What the mailer no longer retries.")));
  show(byId("knobs"), simulation("payment"), simulation("mailer"));
  on("components", (answer) => drawComponents(answer));
  on("alerts", drawAlerts);
  on("acknowledged", () => drawAlerts(known("alerts")));
  on("drill", (clock) => drawDrill(about, clock));
  on("letters", drawLetters);
  drawDrill(about, known("drill"));
  incident(about);
}

/** Does an action, and says why it was not done. @param {HTMLElement | null} button @param {() => Promise<any>} action */
async function act(button, action) {
  button?.setAttribute("aria-busy", "true");
  try {
    return await action();
  } catch (error) {
    notice(words(error));
  } finally {
    button?.removeAttribute("aria-busy");
  }
}

/** @param {string} text @param {() => Promise<any>} action @param {string} [className] */
function button(text, action, className = "") {
  const made = h("button", { type: "button", class: className }, text);
  made.addEventListener("click", () => act(made, action));
  return made;
}

/** A button that has to be pressed twice. @param {string} text @param {() => Promise<any>} action */
function sure(text, action) {
  const made = h("button", { type: "button", class: "danger" }, text);
  let isAsked = false;
  const rest = () => {
    isAsked = false;
    made.textContent = text;
  };
  made.addEventListener("click", () => {
    if (isAsked) {
      rest();
      act(made, action);
    } else {
      isAsked = true;
      made.textContent = "Really?";
      setTimeout(rest, 4000);
    }
  });
  return made;
}

/** @param {any} answer */
function failure(answer) {
  return answer?.state === "failed" ? h("p", { class: "failed", role: "alert" }, answer.reason) : null;
}

/** @param {string} service */
function simulation(service) {
  const state = h("p", { role: "status" });
  const inputs = new Map();
  const fields = KNOBS[service].map(([name, label]) => {
    const input = /** @type {HTMLInputElement} */ (name === "paused"
      ? h("input", { type: "checkbox", name })
      : h("input", { type: "range", name, min: 0, max: name === "latency" ? MAX_LATENCY : 1, step: name === "latency" ? 100 : 0.05 }));
    const output = h("output", {});
    const paint = () => (output.textContent = name === "paused" ? "" : name === "latency" ? duration(Number(input.value)) : `${Math.round(Number(input.value) * 100)} %`);
    input.addEventListener("input", paint);
    inputs.set(name, { input, paint });
    return h("label", { class: name === "paused" ? "check" : "knob" }, h("span", {}, label), input, output);
  });
  const wanted = () => Object.fromEntries([...inputs].map(([name, { input }]) =>
    [name, name === "paused" ? input.checked : name === "latency" ? `${input.value}ms` : Number(input.value)]));
  const form = h("form", { class: "simulation", "aria-label": `Simulation of ${service}` },
    h("h4", {}, service), fields,
    h("p", { class: "buttons" }, h("button", { type: "submit" }, "Apply"), button("As set", () => ask("POST", `/api/simulation/${service}`, {}))), state);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(form.querySelector("button"), () => ask("POST", `/api/simulation/${service}`, wanted()));
  });
  on("simulation", (all) => {
    const answer = all[service];
    show(state, failure(answer));
    if (!answer.found || form.contains(document.activeElement) && document.activeElement?.matches("input")) return;
    for (const [name, { input, paint }] of inputs) {
      const value = answer.found[name];
      if (name === "paused") input.checked = value;
      else input.value = String(name === "latency" ? milliseconds(value) : value);
      paint();
    }
  });
  return form;
}

/** `1s 500ms` in milliseconds. @param {string} words */
function milliseconds(words) {
  /** @type {Record<string, number>} */
  const units = { m: 60_000, s: 1000, ms: 1, us: 0.001 };
  return [...words.matchAll(/(\d+)([a-z]+)/g)].reduce((sum, [, number, unit]) => sum + Number(number) * (units[unit] ?? 0), 0);
}

/** @param {any} answer */
function drawComponents(answer) {
  const focused = document.activeElement?.getAttribute("data-part");
  const place = byId("components");
  show(place, failure(answer), answer.found && h("table", { class: "parts" },
    h("caption", { class: "hidden" }, "Components and their states"),
    h("tbody", {}, answer.found.map((/** @type {any} */ part) => {
      const isStopped = part.state === "stopped";
      const verb = isStopped ? "Start" : "Stop";
      const change = button(verb, () => ask("POST", `/api/components/${encodeURIComponent(part.name)}/${verb.toLowerCase()}`));
      change.setAttribute("data-part", part.name);
      change.setAttribute("aria-label", `${verb} ${part.name}`);
      return h("tr", {},
        h("th", { scope: "row" }, part.name),
        h("td", {}, h("span", { class: `state ${part.state.replace(" ", "-")}` }, part.state), part.reason && h("small", { class: "bad" }, part.reason)),
        h("td", {}, part.canStop && change));
    }))));
  if (focused) /** @type {HTMLElement | null} */ (place.querySelector(`[data-part="${CSS.escape(focused)}"]`))?.focus();
}

/** @param {any} answer */
function drawAlerts(answer) {
  if (!answer) return;
  /** @type {Map<string, any>} */
  const alerts = new Map();
  // The newest notice comes first.
  for (const notice of [...(answer.found ?? [])].reverse()) {
    const key = `${notice.fingerprint} ${notice.startsAt}`;
    const alert = alerts.get(key) ?? { key, ...notice, delivered: null, resolved: null };
    if (notice.status === "firing") alert.delivered ??= notice.receivedAt;
    else alert.resolved = notice.receivedAt;
    alerts.set(key, alert);
  }
  const acknowledged = known("acknowledged") ?? {};
  const link = alertsLink();
  const newest = [...alerts.values()].reverse().slice(0, 12);
  show(byId("alerts"), failure(answer), away(link?.href, link ? `${link.name} ↗` : ""),
    newest.length ? h("ul", { class: "notices" }, newest.map((alert) => notice_(alert, acknowledged[alert.key]))) : answer.found && h("p", { class: "none" }, "No alert was delivered."));
}

/** One alert and its clock. @param {any} alert @param {number | undefined} acknowledged */
function notice_(alert, acknowledged) {
  const began = Date.parse(alert.startsAt);
  const after = (/** @type {string} */ name, /** @type {number | null} */ at) =>
    h("li", { class: at ? "done" : "" }, h("b", {}, name), " ", at ? `+${duration(at - began)}` : "–");
  const delivered = alert.delivered ? Date.parse(alert.delivered) : null;
  const resolved = alert.resolved ? Date.parse(alert.resolved) : null;
  return h("li", { class: resolved ? "notice-row resolved" : "notice-row firing" },
    h("p", {}, h("strong", {}, alert.labels.alertname ?? "alert"), " ", h("span", { class: "quiet" }, alert.labels.service ?? ""), " ",
      h("span", { class: `chip ${resolved ? "good" : "bad"}` }, resolved ? "resolved" : "firing")),
    h("p", {}, alert.annotations.summary ?? ""),
    h("ol", { class: "clock" }, h("li", { class: "done" }, h("b", {}, "fires"), " ", clock(began)), after("delivered", delivered),
      after("acknowledged", acknowledged ?? null), after("resolved", resolved)),
    !resolved && !acknowledged && button("Acknowledge", () => ask("POST", "/api/alerts/acknowledge", { key: alert.key })));
}

/** @param {import("./links.js").About} about @param {any} drill */
function drawDrill(about, drill) {
  const isRunning = drill && !drill.ended;
  const begin = (/** @type {string} */ alert) => {
    const made = button("Drill", () => ask("POST", "/api/drill", { alert }));
    made.setAttribute("aria-label", `Drill ${alert}`);
    return made;
  };
  const list = about.deliversAlerts && !isRunning && h("ul", { class: "drills" }, about.drills.map(({ alert, cause }) =>
    h("li", {}, h("span", {}, h("strong", {}, alert), h("small", { class: "quiet" }, cause)), begin(alert))));
  show(byId("drill"), drill && h("div", { class: "running" },
    h("p", { role: "status" }, h("strong", {}, drill.alert), " ", h("span", { class: `chip ${isRunning ? "moving" : drill.isWell ? "good" : "bad"}` },
      isRunning ? "under way" : drill.isWell ? "delivered and resolved" : "did not end well"), ` since ${clock(drill.began)}`),
    h("ol", { class: "stages" }, drill.lines.map((/** @type {[number, string]} */ [at, line]) => h("li", {}, h("time", {}, `+${duration(at - drill.began)}`), h("span", {}, line.trim())))),
    isRunning && button("Stop and repair", () => ask("DELETE", "/api/drill"))), list);
}

/** @param {import("./links.js").About} about */
function incident(about) {
  const said = h("div", { role: "status" });
  const place = h("div");
  show(byId("incident"), place, said);
  const guess = (/** @type {string} */ alert) => async () => {
    const answer = await ask("POST", "/api/incident/answer", { alert });
    show(said, answer.isRight ? h("p", { class: "good" }, `Right: ${answer.cause}. You found it in ${duration(answer.seconds * 1e3)}.`) : h("p", { class: "bad" }, "That is not it."),
      answer.text && h("pre", {}, answer.text));
  };
  const giveUp = async () => {
    const answer = await ask("POST", "/api/incident/answer", null);
    show(said, h("p", {}, `It was: ${answer.cause}.`), h("pre", {}, answer.text));
  };
  on("incident", ({ since }) => {
    if (!since) {
      show(place, button("Break something", async () => {
        show(said, h("p", {}, "Breaking something …"));
        await ask("POST", "/api/incident");
        show(said);
      }, "primary"));
      return;
    }
    show(place, h("p", {}, `Something is broken since ${clock(since)}. What is it?`),
      h("div", { class: "guesses buttons", role: "group", "aria-label": "Causes" }, about.drills.map(({ alert, cause }) => button(cause, guess(alert)))),
      h("p", {}, sure("Give up and repair", giveUp)));
  });
}

/** @param {any} answer */
function drawLetters(answer) {
  const letters = answer.found ?? [];
  const all = (/** @type {string} */ action) => () => ask("POST", `/api/dead-letters/${action}`, { event: null });
  show(byId("letters"), failure(answer),
    letters.length ? h("p", { class: "buttons" }, button("Replay all", all("replay")), sure("Discard all", all("discard"))) : answer.found && h("p", { class: "none" }, "There are none."),
    h("ul", { class: "dead" }, letters.map((/** @type {any} */ letter) => h("li", {},
      h("p", {}, h("span", { class: "chip bad" }, letter.state), " ",
        letter.orderId ? h("a", { href: `#/order/${letter.orderId}` }, h("code", {}, letter.orderId)) : h("span", { class: "quiet" }, "an order that cannot be read"),
        h("span", { class: "quiet" }, letter.ageSeconds === null ? "" : ` · ${duration(letter.ageSeconds * 1e3)} old · ${letter.attempts} attempts`)),
      h("p", { class: "bad" }, letter.reason),
      letter.eventId && h("p", { class: "buttons" },
        button("Replay", () => ask("POST", "/api/dead-letters/replay", { event: letter.eventId })),
        sure("Discard", () => ask("POST", "/api/dead-letters/discard", { event: letter.eventId })))))));
}
