// @ts-check
// The journey of one order: what every backend knows, on one page.

import { ask, askJourney } from "./ask.js";
import { away, clock, copy, duration, h, show, words } from "./dom.js";
import { emailLink, queryLink, traceLink } from "./links.js";
import { text, tint, waterfall } from "./waterfall.js";

/** Time between two looks at an order that is under way. */
const AGAIN = 1500;
/** An order is watched for so long. */
const WATCHED = 5 * 60_000;
/** Until then, what is missing may only be late. */
const LATE = 8000;
const HIDDEN = ["log.level", "trace.id", "span.id", "order.id", "omnitrace.actor", "ecs.version", "log.logger"];
/** @type {Record<string, string>} */
const PARTS = { order: "The gateway's answer", lines: "Log lines", trace: "Spans", email: "E-mail", letters: "Dead letters", stack: "The stack" };

/** @type {AbortController | undefined} */
let underWay;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let again;

/** Leaves the journey. */
export function leave() {
  underWay?.abort();
  clearTimeout(again);
}

/** @param {HTMLElement} place */
export function empty(place) {
  leave();
  show(place, h("div", { class: "empty" },
    h("h2", {}, "Follow an order"),
    h("p", {}, "Choose one on the left, click a dot in a chart, or paste the id of an order, a trace or an e-mail above."),
    h("p", { class: "quiet" }, "Its spans, log lines, events and e-mail stand on one time line, with the question behind each.")));
}

/** Shows the journey of an id, again and again until it is over. @param {HTMLElement} place @param {string} id */
export function follow(place, id) {
  leave();
  const asking = h("p", { class: "asking", role: "status" }, "Asking every backend of the stack …");
  show(place, asking);
  const begun = Date.now();
  let shown = "";
  const look = async () => {
    underWay = new AbortController();
    const { signal } = underWay;
    /** @type {any[]} */
    const parts = [];
    try {
      await askJourney(id, (part) => {
        parts.push(part);
        const answered = parts.filter((part) => part.state).map((part) => `${PARTS[part.part]}: ${part.state}`);
        asking.textContent = `Asking every backend of the stack … ${answered.join(" · ")}`;
      }, signal);
    } catch (error) {
      if (signal.aborted) return;
      show(place, h("p", { class: "failed", role: "alert" }, words(error)));
      return;
    }
    if (signal.aborted) return;
    const journey = read(id, parts);
    // What has not changed keeps its place, its focus and what was opened.
    const now = JSON.stringify([journey.spans.length, journey.lines.length, journey.parts.map((part) => [part.state, part.reason]), journey.email, journey.letters, journey.state]);
    if (now !== shown) draw(place, journey);
    shown = now;
    const isYoung = Date.now() - begun < WATCHED;
    if (isYoung && !journey.isOver) again = setTimeout(look, AGAIN);
  };
  look();
}

/** @param {string} id @param {any[]} parts */
function read(id, parts) {
  const of = (/** @type {string} */ name) => parts.find((part) => part.part === name);
  const subject = of("subject") ?? { order: null, traces: [] };
  const traces = parts.filter((part) => part.part === "trace");
  const spans = traces.flatMap((part) => (part.found?.spans ?? []).map((/** @type {any} */ span) => ({ ...span, trace: part.found.id })));
  const lines = of("lines")?.found?.lines ?? [];
  const order = of("order")?.found ?? null;
  const email = of("email")?.found ?? null;
  const letters = of("letters")?.found ?? [];
  const answered = lines.find((/** @type {any} */ line) => line.message === "request answered" && line.fields["http.route"] === "/create-order");
  const status = answered ? Number(answered.fields["http.response.status_code"]) : null;
  const begins = Math.min(...spans.map((span) => span.start), ...lines.map((/** @type {any} */ line) => line.at ?? Infinity));
  const asked = parts.filter((part) => part.state);
  const age = Date.now() - begins;
  const missing = [
    ...traces.flatMap((part) => (part.found ? part.found.missing : order ? ["every span of this trace"] : []).map((/** @type {string} */ what) => ({ what, part }))),
    ...(of("lines")?.found?.missing ?? []).map((/** @type {string} */ what) => ({ what, part: of("lines") })),
    ...(order && !email && !letters.length && of("email")?.state === "nothing" ? [{ what: "the e-mail", part: of("email") }] : []),
  ];
  const state = stateOf(order, status, email, letters, lines);
  const isUnderWay = ["moving", "retrying"].includes(state.name) || (missing.length > 0 && age < 60_000);
  return { id, subject, spans, lines, order, email, letters, status, begins, age, missing, state, parts: asked, isOver: !isUnderWay, traces: subject.traces };
}

/** @param {any} order @param {number | null} status @param {any} email @param {any[]} letters @param {any[]} lines */
function stateOf(order, status, email, letters, lines) {
  const last = lines.filter((line) => line.service === "email-service").at(-1)?.message ?? "";
  if (letters.length) return { name: "dead", label: letters[0].state === "uncertain" ? "held: it may have been sent" : "dead letter", tone: "bad" };
  if (email) return order?.status === "declined"
    ? { name: "mailed", label: "declined · mailed", tone: "calm" } : { name: "mailed", label: "paid · mailed", tone: "good" };
  if (!order && status && status >= 500) return { name: "failed", label: `failed ${status}`, tone: "bad" };
  if (!order && status) return { name: "refused", label: `refused ${status}`, tone: "calm" };
  if (last.includes("tried again")) return { name: "retrying", label: "an attempt failed, waiting to retry", tone: "warn" };
  if (order) return { name: "moving", label: order.event === "pending" ? "in the outbox" : "on its way to the inbox", tone: "moving" };
  return { name: "unknown", label: "not known to the gateway", tone: "calm" };
}

/** @param {HTMLElement} place @param {ReturnType<typeof read>} journey */
function draw(place, journey) {
  const { subject, spans, lines, state } = journey;
  const id = subject.order ?? journey.id;
  show(place,
    h("header", { class: "head" },
      h("div", {},
        h("p", { class: "kicker" }, subject.order ? "Order" : "Trace", " ", h("span", { class: `chip ${state.tone}` }, state.label)),
        h("h2", { class: "id" }, h("code", {}, id), " ", copy(id, "the id"))),
      facts(journey)),
    lost(journey),
    spans.length || lines.length ? waterfall(spans, lines) : h("p", { class: "quiet none" }, "No span and no log line is about this id."),
    h("div", { class: "columns" },
      h("section", { class: "lines", "aria-label": "Log lines" }, h("h3", {}, `Log lines (${lines.length})`), lineList(journey)),
      h("div", { class: "aside" }, letterCard(place, journey), attemptsCard(journey), emailCard(journey), questions(journey))));
}

/** @param {ReturnType<typeof read>} journey */
function facts({ order, begins, lines, traces, spans }) {
  const sent = lines.find((/** @type {any} */ line) => line.message === "e-mail sent");
  const services = new Set(spans.map((span) => span.service)).size;
  const fact = (/** @type {string} */ name, /** @type {string | number} */ value) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return h("dl", { class: "facts" },
    order && fact("amount", `${order.amount} ${order.currency}`),
    Number.isFinite(begins) && fact("begun", clock(begins)),
    sent && fact("request to e-mail", duration(sent.at - begins)),
    spans.length > 0 && fact("services", services),
    traces.map((/** @type {string} */ trace, /** @type {number} */ index) => {
      const link = traceLink(trace);
      return h("div", {}, h("dt", {}, index ? `trace ${index + 1}` : "trace"),
        h("dd", {}, h("code", {}, `${trace.slice(0, 8)}…`), " ", copy(trace, "the trace id"), " ", away(link?.href, link ? `${link.name} ↗` : "")));
    }));
}

/** What is missing, by name, with the question that looked for it. @param {ReturnType<typeof read>} journey */
function lost({ missing, age, parts }) {
  const failed = parts.filter((part) => part.state === "failed");
  const isLate = age < LATE;
  return h("div", { class: "lost" },
    failed.map((part) => h("p", { class: "failed", role: "alert" }, `${PARTS[part.part]}: ${part.reason}`)),
    missing.length > 0 && h("details", { class: isLate ? "missing late" : "missing", open: !isLate },
      h("summary", {}, isLate ? `${missing.length} not there yet` : `Missing: ${missing.length === 1 ? missing[0].what : `${missing.length} things`}`),
      h("ul", {}, missing.map(({ what, part }) => h("li", {}, what, part.query && h("span", { class: "quiet" }, " looked for with "), part.query && queryText(part.query))))));
}

/** @param {any} query */
function queryText(query) {
  const link = queryLink(query);
  return h("span", { class: "query" }, h("code", {}, query.text), " ", copy(query.text, "the query"), " ", away(link?.href, link ? `${link.name} ↗` : ""));
}

/** @param {ReturnType<typeof read>} journey */
function lineList({ lines, begins }) {
  return h("ol", {}, lines.map((/** @type {any} */ line) => {
    const level = String(line.fields["log.level"] ?? "info").toLowerCase();
    const fields = Object.entries(line.fields).filter(([name]) => !HIDDEN.includes(name) && !/^(ecs|host|process|service)\./.test(name));
    const error = line.fields["error.message"];
    return h("li", { class: /err|crit|warn/.test(level) ? "line trouble" : "line" },
      h("details", {},
        h("summary", {},
          h("time", {}, line.at ? `+${duration(line.at - begins)}` : ""),
          h("i", { class: `swatch ${tint(line.service)}`, title: line.service }), h("span", { class: "hidden" }, `${line.service} ${level}`),
          h("span", { class: "message" }, line.message, error && h("small", { class: "bad" }, ` ${text(error)}`),
            h("small", {}, ...brief(fields).map((field) => ` ${field}`)))),
        h("table", {}, h("tbody", {}, [["service", line.service], ["level", level], ...fields].map(([name, value]) =>
          h("tr", {}, h("th", { scope: "row" }, String(name)), h("td", {}, text(value))))))));
  }));
}

/** Fields that are worth a look without a click. */
const BRIEF = ["payment.outcome", "http.response.status_code", "email.attempt", "email.retry_in_ms", "order.replayed"];

/** @param {[string, any][]} fields */
function brief(fields) {
  const shown = fields.filter(([name, value]) => BRIEF.includes(name) && String(value) !== "false");
  return shown.map(([name, value]) => `${name.split(".").at(-1)}=${text(value)}`);
}

/** @param {ReturnType<typeof read>} journey */
function emailCard({ email }) {
  if (!email) return null;
  const link = emailLink(email.page);
  return h("section", { class: "card email", "aria-label": "The e-mail" },
    h("h3", {}, "The e-mail ", email.count > 1 && h("span", { class: "chip bad" }, `${email.count} e-mails`), away(link?.href, link ? `${link.name} ↗` : "")),
    h("dl", {}, [["Subject", email.subject], ["To", email.to], ["From", email.from], ["Date", email.date]].map(([name, value]) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    h("pre", {}, email.text.trim()),
    h("p", { class: "quiet" }, "Message-ID ", h("code", {}, email.messageId), " ", copy(email.messageId, "the Message-ID")));
}

/** Attempts to send, where there were several. @param {ReturnType<typeof read>} journey */
function attemptsCard({ lines, begins }) {
  /** @type {any[]} */
  const attempts = [];
  for (const line of lines) {
    if (line.message === "sending e-mail") attempts.push({ at: line.at, number: line.fields["email.attempt"], outcome: "under way", tone: "moving" });
    const last = attempts.at(-1);
    if (line.message === "e-mail sent" && last) Object.assign(last, { outcome: "sent", tone: "good" });
    if (line.message.startsWith("e-mail not sent") && last) {
      Object.assign(last, { outcome: `${text(line.fields["error.message"] ?? "failed")}; again after ${duration(Number(line.fields["email.retry_in_ms"]))}`, tone: "warn" });
    }
    if (line.message.startsWith("e-mail given up") && last) Object.assign(last, { outcome: `given up: ${text(line.fields["error.message"] ?? "")}`, tone: "bad" });
    if (line.message.startsWith("e-mail held") && last) Object.assign(last, { outcome: `held: ${text(line.fields["error.message"] ?? "")}`, tone: "bad" });
  }
  if (attempts.length < 2 && !attempts.some((attempt) => attempt.tone !== "good" && attempt.tone !== "moving")) return null;
  return h("section", { class: "card attempts", "aria-label": "Attempts" }, h("h3", {}, "Attempts to send"),
    h("ol", {}, attempts.map((attempt) => h("li", { class: attempt.tone },
      h("b", {}, `${attempt.number}`), h("time", {}, `+${duration(attempt.at - begins)}`), h("span", {}, attempt.outcome)))));
}

/** @param {HTMLElement} place @param {ReturnType<typeof read>} journey */
function letterCard(place, { letters, id }) {
  return letters.map((/** @type {any} */ letter) => {
    const said = h("span", { role: "status" });
    const act = (/** @type {string} */ action, /** @type {string} */ label) => h("button", { type: "button", click: async () => {
      try {
        await ask("POST", `/api/dead-letters/${action}`, { event: letter.eventId });
        follow(place, id);
      } catch (error) {
        said.textContent = words(error);
      }
    } }, label);
    return h("section", { class: "card letter", "aria-label": "Dead letter" }, h("h3", {}, letter.state === "parked" ? "Parked message" : "Dead letter"),
      h("p", { class: "bad" }, letter.reason),
      h("p", { class: "quiet" }, `${letter.attempts} attempts · event `, h("code", {}, letter.eventId ?? "without an id")),
      h("p", { class: "buttons" }, act("replay", "Replay"), act("discard", "Discard"), said));
  });
}

/** Every question, with its state. @param {ReturnType<typeof read>} journey */
function questions({ parts }) {
  return h("section", { class: "card questions", "aria-label": "Questions" }, h("h3", {}, "Questions that were asked"),
    h("ul", {}, parts.map((part) => h("li", { class: part.state },
      h("p", {}, h("b", {}, PARTS[part.part]), " ",
        h("span", { class: "chip" }, part.state), h("span", { class: "quiet" }, ` ${part.took} ms${part.query ? ` · ${part.query.language}` : ""}`)),
      part.query && queryText(part.query),
      part.reason && h("p", { class: "bad" }, part.reason)))));
}
