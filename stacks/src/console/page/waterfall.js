// @ts-check
// One time line: spans as a waterfall, and log lines at their instants below them. Long idle times are folded.

import { at, away, clock, copy, duration, h } from "./dom.js";
import { traceLink } from "./links.js";

/** @typedef {{ id: string, parent: string | null, links: string[], service: string, name: string, kind: string, start: number,
 *   took: number, attributes: Record<string, any>, error: string | null, trace: string }} Span */
/** @typedef {{ at: number, service: string, message: string, fields: Record<string, any> }} Line */

const FOLDED = 0.05;
/** Events that are drawn: an e-mail may be tried for a day. */
const MAX_EVENTS = 60;
const BAD = /failed|dead|held/;
/** Shares of the whole at which times are written. */
const TICKS = [0, 0.25, 0.5, 0.75, 1];

export const SERVICES = ["order-gateway", "payment-service", "email-service"];

/** The class of a service's colour. @param {string} service */
export function tint(service) {
  const index = SERVICES.indexOf(service);
  return index < 0 ? "other" : `s${index}`;
}

/** Events that are no spans of their own, by the messages of their lines. */
const MARKS = new Map([
  ["payment settled", "settled, event in the outbox"],
  ["order placed", "client is answered"],
  ["event published", "broker has confirmed"],
  ["event received", "event in the inbox"],
  ["sending e-mail", "attempt begins"],
  ["e-mail sent", "mail server has accepted"],
  ["an e-mail may be sent twice", "may be sent twice"],
  ["e-mail not sent, it will be tried again", "attempt failed"],
  ["e-mail given up: a dead letter", "dead letter"],
  ["e-mail held: it may have been sent or not", "held"],
]);

/**
 * A scale from times to percent, on which idle times longer than the busy ones are folded.
 * @param {[number, number][]} busy
 */
export function scale(busy) {
  /** @type {[number, number][]} */
  const merged = [];
  for (const [from, to] of [...busy].sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  const start = merged[0]?.[0] ?? 0;
  const total = merged.reduce((sum, [from, to]) => sum + to - from, 0);
  const longest = Math.max(total * 0.6, 2000);
  /** @type {{ from: number, to: number, weight: number, isFold: boolean }[]} */
  const pieces = [];
  let end = start;
  for (const [from, to] of merged) {
    if (from > end) pieces.push({ from: end, to: from, weight: 0, isFold: from - end > longest });
    pieces.push({ from, to, weight: 0, isFold: false });
    end = to;
  }
  const drawn = pieces.filter((piece) => !piece.isFold).reduce((sum, piece) => sum + piece.to - piece.from, 0) || 1;
  const folds = pieces.filter((piece) => piece.isFold).length;
  const share = Math.min(FOLDED, 0.5 / Math.max(folds, 1));
  for (const piece of pieces) piece.weight = piece.isFold ? share : ((piece.to - piece.from) / drawn) * (1 - folds * share);
  return {
    start,
    end,
    folds: pieces.filter((piece) => piece.isFold),
    /** @param {number} time */
    percent(time) {
      let done = 0;
      for (const piece of pieces) {
        if (time <= piece.to) {
          const within = piece.to > piece.from ? Math.max(0, time - piece.from) / (piece.to - piece.from) : 0;
          return (done + within * piece.weight) * 100;
        }
        done += piece.weight;
      }
      return 100;
    },
    /** The time at a share of the width. @param {number} share */
    time(share) {
      let done = 0;
      for (const piece of pieces) {
        if (share <= done + piece.weight + 1e-9) {
          return piece.from + (piece.weight ? (share - done) / piece.weight : 0) * (piece.to - piece.from);
        }
        done += piece.weight;
      }
      return end;
    },
  };
}

/** Spans as a tree, in the order in which they are drawn. @param {Span[]} spans @returns {{ span: Span, depth: number }[]} */
export function tree(spans) {
  const ids = new Set(spans.map((span) => span.id));
  /** @type {Map<string | null, Span[]>} */
  const children = new Map();
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    const parent = span.parent && ids.has(span.parent) && span.parent !== span.id ? span.parent : null;
    children.set(parent, [...(children.get(parent) ?? []), span]);
  }
  /** @type {{ span: Span, depth: number }[]} */
  const rows = [];
  const seen = new Set();
  const grow = (/** @type {string | null} */ parent, /** @type {number} */ depth) => {
    for (const span of children.get(parent) ?? []) {
      if (seen.has(span.id)) continue;
      seen.add(span.id);
      rows.push({ span, depth });
      grow(span.id, depth + 1);
    }
  };
  grow(null, 0);
  return rows;
}

/** The time line. @param {Span[]} spans @param {Line[]} lines */
export function waterfall(spans, lines) {
  const marks = lines.filter((line) => line.at && MARKS.has(line.message));
  /** @type {[number, number][]} */
  const busy = [...spans.map((span) => /** @type {[number, number]} */ ([span.start, span.start + span.took])),
    ...lines.filter((line) => line.at).map((line) => /** @type {[number, number]} */ ([line.at, line.at]))];
  const axis = scale(busy);
  const rows = tree(spans);
  const traces = new Set(spans.map((span) => span.trace));
  const list = h("ol", { class: "spans", "aria-label": "Spans in the order of their tree" });
  rows.forEach(({ span, depth }, index) => {
    const isReplay = depth === 0 && index > 0 && traces.size > 1;
    list.append(row(span, depth, axis, isReplay));
  });
  return h("div", { class: "waterfall" },
    h("div", { class: "axis", "aria-hidden": "true" }, h("span", { class: "names" }, `${rows.length} spans`), ticks(axis)),
    list,
    lanes(marks, axis));
}

/** @param {ReturnType<typeof scale>} axis */
function ticks(axis) {
  const place = h("span", { class: "track" });
  for (const share of TICKS) {
    const tick = at(h("span", { class: "tick" }, h("b", {}, duration(axis.time(share) - axis.start))), share * 100);
    if (share === 1) tick.classList.add("last");
    place.append(tick);
  }
  for (const fold of axis.folds) {
    const left = axis.percent(fold.from);
    place.append(at(h("span", { class: "fold", title: `${duration(fold.to - fold.from)} without an event` }), left, axis.percent(fold.to) - left));
  }
  return place;
}

/** @param {Span} span @param {number} depth @param {ReturnType<typeof scale>} axis @param {boolean} isReplay */
function row(span, depth, axis, isReplay) {
  const left = axis.percent(span.start);
  const width = Math.max(axis.percent(span.start + span.took) - left, 0.35);
  const bar = at(h("span", { class: `bar ${tint(span.service)} ${span.error !== null ? "failed" : ""}` }), left, width);
  const time = h("span", { class: `took ${left + width > 82 ? "before" : ""}` }, duration(span.took));
  at(time, left + width > 82 ? left : left + width);
  const name = h("span", { class: "names" },
    h("span", { class: "indent", "aria-hidden": "true" }),
    h("i", { class: `swatch ${tint(span.service)}` }),
    h("span", { class: "name" }, span.name), h("span", { class: "kind" }, span.kind),
    span.error !== null && h("span", { class: "error" }, "error"));
  const indent = /** @type {HTMLElement} */ (name.firstElementChild);
  indent.style.setProperty("width", `${Math.min(depth, 8) * 12}px`);
  const detail = h("div", { class: "detail", hidden: true });
  const rest = h("span", { class: "hidden" }, ` ${span.service}, after ${duration(span.start - axis.start)}`);
  const button = h("button", { type: "button", "aria-expanded": "false" }, name, h("span", { class: "track" }, bar, time), rest);
  button.addEventListener("click", () => {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    detail.hidden = isOpen;
    if (!isOpen && !detail.firstChild) detail.append(...details(span, axis.start));
  });
  return h("li", { class: isReplay ? "span replay" : "span" }, button, detail);
}

/** @param {Span} span @param {number} start */
function details(span, start) {
  const link = traceLink(span.trace, span.id);
  const rows = Object.entries(span.attributes).map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, text(value))));
  return [
    h("p", {},
      h("span", { class: `service ${tint(span.service)}` }, span.service), ` ${span.kind} · begins ${clock(span.start, true)}, after `,
      `${duration(span.start - start)} · takes ${duration(span.took)} `, away(link?.href, link ? `open in ${link.name} ↗` : "")),
    span.error !== null ? h("p", { class: "bad" }, span.error || "the status of this span is an error") : h("span"),
    h("table", {}, h("caption", { class: "hidden" }, "Attributes"), h("tbody", {},
      h("tr", {}, h("th", { scope: "row" }, "span id"), h("td", {}, h("code", {}, span.id), " ", copy(span.id, "the span id"))), rows)),
  ];
}

/** Events of the log lines, each at its instant. @param {Line[]} marks @param {ReturnType<typeof scale>} axis */
function lanes(marks, axis) {
  return h("ol", { class: "lanes", "aria-label": "Events of the outbox, the broker, the inbox and SMTP" }, marks.slice(0, MAX_EVENTS).map((mark) => {
    const what = MARKS.get(mark.message) ?? "";
    const left = axis.percent(mark.at);
    const isBad = BAD.test(what);
    const time = at(h("span", { class: left > 82 ? "took before" : "took" }, `+${duration(mark.at - axis.start)}`), left);
    return h("li", {},
      h("span", { class: "names" }, h("i", { class: `swatch round ${isBad ? "failed" : tint(mark.service)}` }), h("span", { class: isBad ? "name bad" : "name" }, what)),
      h("span", { class: "track" }, at(h("span", { class: `mark ${isBad ? "failed" : tint(mark.service)}` }), left), time));
  }));
}

/** @param {any} value */
export function text(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
