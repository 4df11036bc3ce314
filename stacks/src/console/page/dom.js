// @ts-check
// Elements made of texts: nothing from outside ever becomes markup.

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Record<string, any>} Properties */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. A property that is a function listens for the event of its name; `class`, `data-…` and `aria-…` are attributes.
 * @param {string} name
 * @param {Properties} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function h(name, properties = {}, ...children) {
  return /** @type {HTMLElement} */ (fill(document.createElement(name), properties, children));
}

/**
 * An element of SVG.
 * @param {string} name
 * @param {Properties} [properties]
 * @param {...(Child | Child[])} children
 * @returns {SVGElement}
 */
export function s(name, properties = {}, ...children) {
  return /** @type {SVGElement} */ (fill(document.createElementNS(SVG, name), properties, children));
}

/** @param {Element} element @param {Properties} properties @param {(Child | Child[])[]} children */
function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...nodes(children));
  return element;
}

/** @param {(Child | Child[])[]} children @returns {(Node | string)[]} */
function nodes(children) {
  return /** @type {Child[]} */ (children.flat())
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/** @param {Element} element @param {...(Child | Child[])} children */
export function show(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/** What an error says. @param {unknown} error */
export function words(error) {
  return error instanceof Error ? error.message : String(error);
}

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found;
}

/**
 * Places an element along an axis, in percent.
 * @param {HTMLElement} element @param {number} left @param {number} [width]
 */
export function at(element, left, width) {
  element.style.setProperty("left", `${left.toFixed(3)}%`);
  if (width !== undefined) element.style.setProperty("width", `${width.toFixed(3)}%`);
  return element;
}

/** A button that copies a text. @param {string} text @param {string} what */
export function copy(text, what) {
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${what}`, title: `Copy ${what}` }, "copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      button.textContent = "not copied";
    }
    setTimeout(() => (button.textContent = "copy"), 1500);
  });
  return button;
}

/** A link to another server's page. @param {string | null | undefined} href @param {string} text */
export function away(href, text) {
  return href ? h("a", { href, target: "_blank", rel: "noopener noreferrer", class: "away" }, text) : null;
}

/** `0.4 ms`, `512 ms`, `1.34 s`, `2 min 5 s`. @param {number | null | undefined} milliseconds */
export function duration(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "–";
  const ms = Math.abs(milliseconds);
  if (ms < 0.05) return "0 ms";
  if (ms < 1) return `${milliseconds.toFixed(1)} ms`;
  if (ms < 999.5) return `${milliseconds.toFixed(0)} ms`;
  if (ms < 60_000) return `${(milliseconds / 1e3).toFixed(2)} s`;
  const seconds = Math.round(ms / 1e3);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** The time of day. @param {number} milliseconds @param {boolean} [fine] */
export function clock(milliseconds, fine = false) {
  const time = new Date(milliseconds);
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const text = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return fine ? `${text}.${String(time.getMilliseconds()).padStart(3, "0")}` : text;
}
