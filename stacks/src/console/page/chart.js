// @ts-check
// A small chart of the last five minutes, with measurements to click.

import { at, clock, copy, duration, h, away, s, show } from "./dom.js";
import { queryLink } from "./links.js";

/** The time that is drawn: as much as there is, within these bounds. */
const SPANS = [60_000, 5 * 60_000];
const MAX_SAMPLES = 320;
const MAX_EXEMPLARS = 14;
const HEIGHT = 44;

/** @typedef {{ at: number, value: number, trace: string }} Exemplar */
/** @typedef {{ key: string, label: string, className: string, format?: (value: number) => string }} Line */
/**
 * @typedef {object} Kind
 * @property {string} title
 * @property {Line[]} lines
 * @property {(value: number) => string} format
 * @property {string} promql
 * @property {string} [exemplars]
 */

const rate = (/** @type {number} */ value) => `${value < 10 ? value.toFixed(1) : value.toFixed(0)}/s`;
const count = (/** @type {number} */ value) => value.toLocaleString("en");

/** @type {Kind[]} */
const KINDS = [
  {
    title: "Orders",
    lines: [{ key: "orders", label: "answered", className: "one" }, { key: "sent", label: "mailed", className: "two" }],
    format: rate,
    promql: 'sum(rate(http_request_duration_seconds_count{route="/create-order"}[1m]))',
  },
  {
    title: "Errors",
    lines: [{ key: "errors", label: "5xx", className: "bad" }, { key: "declined", label: "declined", className: "warm" }],
    format: rate,
    promql: 'sum(rate(http_request_duration_seconds_count{route="/create-order",status=~"5.."}[1m]))',
  },
  {
    title: "Latency",
    lines: [{ key: "p50", label: "p50", className: "one" }, { key: "p99", label: "p99", className: "two" }],
    format: duration,
    promql: 'histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{route="/create-order"}[1m])))',
    exemplars: "exemplars",
  },
  {
    title: "Outbox",
    lines: [{ key: "outbox", label: "events waiting", className: "warm" }],
    format: count,
    promql: "sum(outbox_pending)",
  },
  {
    title: "Queue",
    lines: [{ key: "queue", label: "messages", className: "warm" }],
    format: count,
    promql: 'rabbitmq_detailed_queue_messages{queue="mailer.payments"}',
    exemplars: "waits",
  },
  {
    title: "Inbox",
    lines: [{ key: "inbox", label: "waiting", className: "three" }, { key: "retried", label: "retries", className: "bad", format: rate }],
    format: count,
    promql: "sum(inbox_queued)",
  },
];

/** The charts. @param {HTMLElement} place */
export function charts(place) {
  const cards = KINDS.map(card);
  /** @type {any[]} */
  let samples = [];
  show(place, h("h2", { class: "hidden" }, "Metrics"), cards.map((card) => card.element));
  const draw = () => cards.forEach((card) => card.draw(samples));
  return {
    /** @param {any[]} all */
    set(all) {
      samples = all.slice(-MAX_SAMPLES);
      draw();
    },
    /** @param {any} sample */
    add(sample) {
      samples.push(sample);
      if (samples.length > MAX_SAMPLES) samples.shift();
      // A hidden page is drawn when it is seen again.
      if (!document.hidden) draw();
    },
  };
}

/** @param {Kind} kind */
function card(kind) {
  const values = kind.lines.map((line) => h("strong", { class: "value" }, "–"));
  const paths = kind.lines.map((line) => s("path", { class: `line ${line.className}` }));
  const area = s("path", { class: `area ${kind.lines[0].className}` });
  const dots = h("div", { class: "dots" });
  const top = h("span", { class: "scale", "aria-hidden": "true" });
  const link = queryLink({ language: "PromQL", text: kind.promql });
  const element = h("article", { class: "card" },
    h("header", {},
      h("h3", {}, kind.title),
      h("span", { class: "tools" }, copy(kind.promql, `the PromQL query of ${kind.title}`), away(link?.href, link ? "↗" : "")),
    ),
    h("p", { class: "values" }, kind.lines.map((line, index) =>
      h("span", { class: line.className }, values[index], h("small", {}, line.label)))),
    h("div", { class: "plot" },
      s("svg", { viewBox: `0 0 300 ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, area, ...paths), dots, top),
  );
  if (link) element.querySelector(".away")?.setAttribute("aria-label", `${kind.title} in ${link.name}`);

  /** @param {any[]} samples */
  function draw(samples) {
    const now = samples.at(-1)?.at ?? Date.now();
    const span = Math.min(Math.max(now - (samples[0]?.at ?? now), SPANS[0]), SPANS[1]);
    const from = now - span;
    const seen = samples.filter((sample) => sample.at >= from);
    /** @type {Exemplar[]} */
    const exemplars = kind.exemplars ? seen.flatMap((sample) => sample[kind.exemplars ?? ""] ?? []).slice(-MAX_EXEMPLARS) : [];
    const known = kind.lines.flatMap((line) => seen.map((sample) => sample[line.key]).filter((value) => value !== null));
    // Waits in the queue are times, and the line counts messages: such dots stand on the ground.
    const isSameUnit = kind.format === duration;
    const max = Math.max(...known, ...(isSameUnit ? exemplars.map((exemplar) => exemplar.value) : []), 1e-9) * 1.12;
    const x = (/** @type {number} */ time) => ((time - from) / span) * 300;
    const y = (/** @type {number} */ value) => HEIGHT - 1 - (value / max) * (HEIGHT - 3);
    kind.lines.forEach((line, index) => {
      const points = seen.filter((sample) => sample[line.key] !== null);
      const path = points.map((sample, number) =>
        `${number ? "L" : "M"}${x(sample.at).toFixed(1)} ${y(sample[line.key]).toFixed(1)}`).join("");
      paths[index].setAttribute("d", path);
      const last = seen.at(-1)?.[line.key];
      values[index].textContent = last === null || last === undefined ? "–" : (line.format ?? kind.format)(last);
      values[index].classList.toggle("zero", !last);
      if (index === 0) {
        const ends = points.length ? `L${x(points[points.length - 1].at).toFixed(1)} ${HEIGHT}L${x(points[0].at).toFixed(1)} ${HEIGHT}Z` : "";
        area.setAttribute("d", path + ends);
      }
    });
    top.textContent = known.length && max > 1e-6 ? kind.format(max / 1.12) : "";
    drawDots(dots, exemplars, (exemplar) => (x(exemplar.at) / 300) * 100, (exemplar) =>
      isSameUnit ? (y(exemplar.value) / HEIGHT) * 100 : 94);
  }
  return { element, draw };
}

/**
 * @param {HTMLElement} place @param {Exemplar[]} exemplars
 * @param {(exemplar: Exemplar) => number} left @param {(exemplar: Exemplar) => number} top
 */
function drawDots(place, exemplars, left, top) {
  // Those that are there keep the focus.
  const old = new Map([...place.children].map((dot) => [dot.getAttribute("data-key"), /** @type {HTMLElement} */ (dot)]));
  const dots = exemplars.map((exemplar) => {
    const key = `${exemplar.trace}-${exemplar.at}`;
    const text = `${duration(exemplar.value)} at ${clock(exemplar.at)}: follow this order`;
    const dot = old.get(key) ?? h("a", { class: "dot", href: `#/trace/${exemplar.trace}`, "data-key": key, title: text, "aria-label": text });
    old.delete(key);
    at(dot, left(exemplar));
    dot.style.setProperty("top", `${top(exemplar).toFixed(1)}%`);
    return dot;
  });
  for (const gone of old.values()) gone.remove();
  for (const dot of dots) if (!dot.parentNode) place.append(dot);
}
