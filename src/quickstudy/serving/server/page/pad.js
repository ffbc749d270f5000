/** The pad: a square that is drawn on with a mouse, a finger or a pen. */

import { fill, h, svg } from "./dom.js";
import { SIDE, path } from "./drawing.js";

/** @typedef {import("./api.js").Point} Point */
/** @typedef {import("./api.js").Drawing} Drawing */

/**
 * A stroke so far: `begun` is true at its first point, `ended` at its last one; `by` is "mouse",
 * "touch" or "pen".
 * @typedef {{stroke: Point[], begun: boolean, ended: boolean, by: string}} Drawn
 */

/**
 * Listens to the pen, and tells each stroke whenever it grows.
 * @param {HTMLElement} element
 * @param {(drawn: Drawn) => void} tell
 */
export function listen(element, tell) {
  /** @type {Point[] | null} */
  let stroke = null;
  /** @type {number | null} */
  let pen = null;

  /** @param {PointerEvent} event @returns {Point} */
  const point = (event) => {
    const box = element.getBoundingClientRect();
    const along = (/** @type {number} */ place) => Math.round(SIDE * Math.min(1, Math.max(0, place)));
    return [along((event.clientX - box.left) / box.width), along((event.clientY - box.top) / box.height)];
  };

  element.addEventListener("pointerdown", (event) => {
    if (pen !== null || event.button !== 0) return;
    event.preventDefault();
    element.setPointerCapture(event.pointerId);
    pen = event.pointerId;
    stroke = [point(event)];
    tell({ stroke, begun: true, ended: false, by: event.pointerType });
  });
  element.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pen || stroke === null) return;
    const events = event.getCoalescedEvents?.() ?? [];
    stroke = [...stroke, ...(events.length ? events : [event]).map(point)];
    tell({ stroke, begun: false, ended: false, by: event.pointerType });
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    element.addEventListener(kind, (any) => {
      const event = /** @type {PointerEvent} */ (any);
      if (event.pointerId !== pen || stroke === null) return;
      tell({ stroke, begun: false, ended: true, by: event.pointerType });
      pen = stroke = null;
    });
  }
}

/**
 * Shows a drawing on the pad, or what it suggests while it is empty.
 * @param {HTMLElement} element
 * @param {Drawing | null} drawing
 * @param {Point[][] | null} suggestion
 */
export function show(element, drawing, suggestion) {
  element.classList.toggle("empty", drawing === null);
  if (drawing && "picture" in drawing) {
    fill(element, h("img", { src: drawing.picture, alt: "The picture that it is asked about", draggable: "false" }));
    return;
  }
  const strokes = drawing?.strokes ?? [];
  const words = strokes.length ? `Your drawing, of ${strokes.length} strokes` : "A pad to draw on";
  fill(
    element,
    svg(
      "svg",
      { viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", "aria-label": words },
      strokes.length === 0 && suggestion && svg("path", { class: "suggestion", d: path(suggestion), pathLength: 1 }),
      svg("path", { class: "ink", d: path(strokes) }),
    ),
  );
}
