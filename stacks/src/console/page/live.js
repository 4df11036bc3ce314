// @ts-check
// Orders as they happen, and the buttons that place them.

import { ask } from "./ask.js";
import { charts } from "./chart.js";
import { byId, clock, duration, h, show, words } from "./dom.js";
import { on } from "./events.js";

const MAX_ORDERS = 1000;
const STAGES = ["settled", "published", "received", "sent"];
const NAMES = ["answered", "settled by payment", "published to the broker", "received by the mailer", "mailed"];

/** @type {Map<string, { order: any, element: HTMLElement, shown: string }>} */
const rows = new Map();
/** @type {Map<string, any>} */
const waiting = new Map();
let onlyProblems = false;
let isScheduled = false;

/** @param {(text: string) => void} notice */
export function live(notice) {
  const graphs = charts(byId("charts"));
  on("samples", (all) => graphs.set(all));
  on("sample", (one) => graphs.add(one));
  on("orders", (orders) => {
    for (const order of orders) waiting.set(order.trace, order);
    if (!isScheduled) {
      isScheduled = true;
      requestAnimationFrame(draw);
    }
  });
  place(notice);
}

function draw() {
  isScheduled = false;
  const list = byId("orders");
  const fresh = [];
  for (const order of [...waiting.values()].sort((a, b) => a.at - b.at)) {
    const row = rows.get(order.trace);
    if (row) {
      row.order = order;
      paint(row);
    } else {
      const made = { order, element: h("div", { role: "listitem", class: "item" }), shown: "" };
      rows.set(order.trace, made);
      paint(made);
      fresh.unshift(made.element);
    }
  }
  waiting.clear();
  list.prepend(...fresh);
  while (rows.size > MAX_ORDERS) {
    const [oldest, row] = /** @type {[string, any]} */ (rows.entries().next().value);
    row.element.remove();
    rows.delete(oldest);
  }
  const problems = [...rows.values()].filter(({ order }) => isProblem(order)).length;
  if (fresh.length === rows.size && fresh.length) performance.mark("orders-drawn");
  byId("count").textContent = rows.size ? `${rows.size.toLocaleString("en")} · ${problems} with trouble` : "none yet: place one";
}

/** @param {any} order */
function isProblem(order) {
  return ["retrying", "dead", "failed"].includes(order.state);
}

/** @param {{ order: any, element: HTMLElement, shown: string }} row */
function paint(row) {
  const { order, element } = row;
  const [label, tone] = describe(order);
  const reached = [order.status !== null, ...STAGES.map((stage) => order[stage] !== null)];
  const shown = JSON.stringify([label, tone, reached, order.order, order.at]);
  element.hidden = onlyProblems && !isProblem(order);
  if (shown === row.shown) return;
  row.shown = shown;
  const last = NAMES.filter((_, index) => reached[index]).at(-1) ?? "begun";
  show(element,
    h("a", { href: order.order ? `#/order/${order.order}` : `#/trace/${order.trace}`, class: `row ${tone}` },
      h("time", {}, clock(order.at)),
      h("code", {}, (order.order ?? order.trace).slice(-8)),
      h("span", { class: "path", role: "img", "aria-label": last }, reached.map((isReached, index) =>
        h("i", { class: isReached ? `stop reached s${index}` : "stop" }))),
      h("span", { class: "label" }, label)));
}

/** What a person is told about an order. @param {any} order @returns {[string, string]} */
function describe(order) {
  const until = order.sent ? duration(order.sent - order.at) : "";
  const trouble = order.error ? ` · ${order.error}` : "";
  if (order.state === "dead") return [`dead letter${trouble}`, "bad"];
  if (order.state === "failed") return [`failed ${order.status} · ${duration(order.took)}`, "bad"];
  if (order.state === "retrying") return [`retry ${order.attempts}${trouble}`, "warn"];
  if (order.state === "refused") return [`refused ${order.status} · ${duration(order.took)}`, "calm"];
  if (order.repeated) return [`same key, same order`, "calm"];
  if (order.state === "mailed") {
    const attempts = order.attempts > 1 ? ` · ${order.attempts} attempts` : "";
    return [`${order.declined ? "declined, " : ""}mailed · ${until}${attempts}`, order.declined ? "calm" : "good"];
  }
  if (order.received) return [order.attempts ? "being mailed" : "in the inbox", "moving"];
  if (order.published) return ["in the queue", "moving"];
  if (order.settled) return [order.declined ? "declined, in the outbox" : "in the outbox", "moving"];
  return ["at payment", "moving"];
}

/** The buttons and the burst. @param {(text: string) => void} notice */
function place(notice) {
  const one = (/** @type {string} */ sort, /** @type {string} */ text, /** @type {string} */ title) => {
    const button = h("button", { type: "button", title, class: sort === "sample" ? "primary" : "" }, text);
    button.addEventListener("click", async () => {
      button.setAttribute("aria-busy", "true");
      try {
        const answers = await ask("POST", "/api/orders", { sort });
        said.textContent = answers.map((/** @type {any} */ { status, replayed, body }) =>
          `${status}${replayed ? " again" : ""}: ${body.message ?? body.title}`).join(", then ");
        const traced = answers.find((/** @type {any} */ { body }) => body.traceId)?.body;
        if (traced) said.append(" ", h("a", { href: traced.orderId ? `#/order/${traced.orderId}` : `#/trace/${traced.traceId}` }, "follow it"));
      } catch (error) {
        notice(words(error));
      } finally {
        button.removeAttribute("aria-busy");
      }
    });
    return button;
  };
  const said = h("p", { class: "said quiet", role: "status" }, "Place an order, and watch it travel.");
  const rate = slider("rate", "a second", 1, 200, 20);
  const count = slider("orders", "orders", 10, 1000, 200);
  const begin = h("button", { type: "submit" }, "Burst");
  const form = h("form", { class: "burst" }, rate.element, count.element, begin);
  let isRunning = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      if (isRunning) await ask("DELETE", "/api/burst");
      else await ask("POST", "/api/burst", { rate: rate.value(), count: count.value(), declined: 5, invalid: 5 });
    } catch (error) {
      notice(words(error));
    }
  });
  on("burst", (burst) => {
    isRunning = burst.isRunning;
    begin.textContent = isRunning ? "Stop" : "Burst";
    const unexpected = burst.unexpected ? `, ${burst.unexpected} unexpected (${burst.reason})` : "";
    said.textContent = `Burst: ${burst.answered} of ${burst.count} answered${unexpected}`;
  });
  const filter = h("label", { class: "only" }, h("input", { type: "checkbox", change: (/** @type {any} */ event) => {
    onlyProblems = event.target.checked;
    for (const { order, element } of rows.values()) element.hidden = onlyProblems && !isProblem(order);
  } }), " only those with trouble");
  show(byId("place"),
    h("div", { class: "buttons", role: "group", "aria-label": "Place an order" },
      one("sample", "Place an order", "The sample order of 99.99 USD"),
      one("declined", "Declined", "Above payment's limit: 402"),
      one("invalid", "Invalid", "No address and no items: 422"),
      one("repeated", "Same key ×2", "Two requests with one Idempotency-Key: one order")),
    form, said, filter);
}

/** @param {string} name @param {string} unit @param {number} min @param {number} max @param {number} start */
function slider(name, unit, min, max, start) {
  const input = /** @type {HTMLInputElement} */ (h("input", { type: "range", name, min, max, value: start, "aria-label": `Burst: ${unit}` }));
  const output = h("output", {}, `${start} ${unit}`);
  input.addEventListener("input", () => (output.textContent = `${input.value} ${unit}`));
  return { element: h("label", { class: "slider" }, input, output), value: () => Number(input.value) };
}
