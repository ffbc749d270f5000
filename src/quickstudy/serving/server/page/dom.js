/** Makes and fills elements. */

/** @typedef {Node | string | null | undefined | false} Child */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an HTML element: `h("button", {class: "quiet", onclick: undo}, "Undo")`. A property that
 * begins with "on" is a listener, `vars` are custom properties of CSS, all others are attributes;
 * those that are false, null or undefined are left out.
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...Child} children
 */
export function h(tag, properties = {}, ...children) {
  return made(document.createElement(tag), properties, children);
}

/**
 * Makes an element of SVG, in the same way.
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...Child} children
 */
export function svg(tag, properties = {}, ...children) {
  return made(document.createElementNS(SVG, tag), properties, children);
}

/**
 * Replaces what an element holds. The focus stays at the element with the same `data-key`; where
 * that is gone, it moves to the one that takes its place.
 * @param {Element} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  const keyed = () => /** @type {HTMLElement[]} */ ([...element.querySelectorAll("[data-key]:enabled")]);
  const place = keyed().findIndex((each) => each === document.activeElement);
  const key = keyed()[place]?.dataset.key;
  element.replaceChildren(...children.filter(isThere));
  if (place < 0) return;
  const after = keyed();
  const next = after.find((each) => each.dataset.key === key) ?? after[Math.min(place, after.length - 1)];
  next?.focus({ preventScroll: true });
}

/**
 * @template {HTMLElement | SVGElement} E
 * @param {E} element
 * @param {Record<string, any>} properties
 * @param {Child[]} children
 * @returns {E}
 */
function made(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "vars") setVars(element, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter(isThere));
  return element;
}

/**
 * Sets custom properties of CSS.
 * @param {HTMLElement | SVGElement} element
 * @param {Record<string, string | number>} vars
 */
export function setVars(element, vars) {
  for (const [name, value] of Object.entries(vars)) {
    element.style.setProperty(`--${name}`, String(value));
  }
}

/** @param {Child} child @returns {child is Node | string} */
function isThere(child) {
  return child !== null && child !== undefined && child !== false;
}
