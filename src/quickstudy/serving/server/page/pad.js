/** The pad: a square that is drawn on with a mouse, a finger or a pen. */

import { fill, h, svg } from "./dom.js";
import { SIDE, path } from "./drawing.js";

/** @typedef {import("./api.js").Point} Point */
/** @typedef {import("./api.js").Drawing} Drawing */

/**
 * Listens to the pen. Each stroke is told whenever it grows: `begun` is true for its first point,
 * `ended` for its last one.
 * @param {HTMLElement} element
 * @param {(stroke: Point[], begun: boolean, ended: boolean) => void} drawn
 */
export function listen(element, drawn) {
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
    drawn(stroke, true, false);
  });
  element.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pen || stroke === null) return;
    const events = event.getCoalescedEvents?.() ?? [];
    stroke = [...stroke, ...(events.length ? events : [event]).map(point)];
    drawn(stroke, false, false);
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    element.addEventListener(kind, (event) => {
      if (/** @type {PointerEvent} */ (event).pointerId !== pen || stroke === null) return;
      drawn(stroke, false, true);
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
