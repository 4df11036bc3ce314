// @ts-check
// The page: its views, and what they share.

import { ask, exchange } from "./ask.js";
import { breaks } from "./break.js";
import { byId, h, show, words } from "./dom.js";
import { connect, on } from "./events.js";
import { empty, follow, leave } from "./journey.js";
import { know } from "./links.js";
import { live } from "./live.js";

const CONNECTED = { live: "live", connecting: "connecting" };

/** @type {ReturnType<typeof setTimeout> | undefined} */
let hiding;

/** Says something that needs attention. @param {string} text */
function notice(text) {
  const place = byId("notice");
  place.textContent = text;
  place.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => (place.hidden = true), 12_000);
}

/** Shows the view that the address names. */
function route() {
  const [, view, id] = location.hash.split("/");
  const place = byId("journey");
  const name = view === "order" || view === "trace" ? "journey" : view === "break" ? "break" : "live";
  document.body.dataset.view = name;
  for (const link of document.querySelectorAll(".views a")) {
    if (link.getAttribute("data-view") === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const row of document.querySelectorAll(".row[aria-current]")) row.removeAttribute("aria-current");
  if (name !== "journey") leave();
  if (name === "journey" && id) {
    document.querySelector(`.row[href$="/${CSS.escape(id)}"]`)?.setAttribute("aria-current", "true");
    follow(place, decodeURIComponent(id));
  } else if (name !== "break") {
    empty(place);
  }
}

function find() {
  byId("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const input = /** @type {HTMLInputElement} */ (byId("id"));
    const id = input.value.trim().replace(/^message-id:\s*/i, "").replace(/^<|>$/g, "");
    if (id) location.hash = `#/order/${encodeURIComponent(id)}`;
  });
}

async function begin() {
  find();
  try {
    await exchange();
    const about = await ask("GET", "/api/about");
    know(about);
    const stack = byId("stack");
    stack.textContent = about.title.replace(/^the /, "");
    stack.hidden = false;
    live(notice);
    breaks(about, notice);
  } catch (error) {
    document.body.dataset.view = "refused";
    // The link with the token may be opened in this very window, or was while the console refused.
    addEventListener("hashchange", () => location.reload());
    if (location.hash.includes("token=")) location.reload();
    show(byId("main"), h("div", { class: "empty", role: "alert" }, h("h2", {}, "The console is not open yet"), h("p", {}, words(error))));
    return;
  }
  connect((state) => {
    const place = byId("connection");
    place.textContent = CONNECTED[state];
    place.className = `connection ${state}`;
  });
  on("feed", (answer) => {
    if (answer.state === "failed") notice(`The log lines are not there: ${answer.reason}`);
  });
  on("sources", (sources) => {
    const failed = sources.filter((/** @type {any} */ source) => source.state === "failed");
    const text = failed.map((/** @type {any} */ source) => `${source.part}: ${source.reason}`).join("; ");
    byId("charts").setAttribute("data-failed", text ? `No metrics of ${text}` : "");
  });
  addEventListener("hashchange", () => {
    route();
    if (matchMedia("(max-width: 900px)").matches) scrollTo({ top: 0 });
  });
  route();
}

begin();
