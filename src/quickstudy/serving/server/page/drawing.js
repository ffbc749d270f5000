/** Drawings as paths of SVG. */

import { h, svg } from "./dom.js";

/** @typedef {import("./api.js").Point} Point */
/** @typedef {import("./api.js").Drawing} Drawing */

/** The side of the pad, in units of points. */
export const SIDE = 1000;

/**
 * The path of a pen: smooth curves through the middles between points.
 * @param {Point[][]} strokes
 */
export function path(strokes) {
  return strokes.map(curve).join("");
}

/** @param {Point[]} stroke */
function curve(stroke) {
  const [[x, y], ...rest] = stroke;
  if (rest.length === 0) return `M${x} ${y}h0`;
  const [endX, endY] = stroke[stroke.length - 1];
  const between = rest.slice(0, -1).map(([a, b], i) => {
    const [c, d] = rest[i + 1];
    return `Q${a} ${b} ${(a + c) / 2} ${(b + d) / 2}`;
  });
  return `M${x} ${y}${between.join("")}L${endX} ${endY}`;
}

/**
 * A small picture of a drawing; its ink fills it, whatever part of the pad it took.
 * @param {Drawing} drawing
 * @param {string} words what it is a picture of
 */
export function thumbnail(drawing, words) {
  if ("picture" in drawing) return h("img", { class: "thumb", src: drawing.picture, alt: words });
  const xs = drawing.strokes.flat().map(([x]) => x);
  const ys = drawing.strokes.flat().map(([, y]) => y);
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top];
  const side = 1.35 * Math.max(width, height, 60);
  const corner = [left + width / 2 - side / 2, top + height / 2 - side / 2];
  return svg(
    "svg",
    { class: "thumb", viewBox: `${corner[0]} ${corner[1]} ${side} ${side}`, role: "img", "aria-label": words },
    svg("path", { d: path(drawing.strokes), "stroke-width": 0.065 * side }),
  );
}

/** @type {Record<string, Point[][]>} What an empty pad suggests. */
export const SUGGESTIONS = { squiggle: [squiggle()], star: [star()] };

/** @returns {Point[]} */
function squiggle() {
  return Array.from({ length: 41 }, (_, i) => [
    Math.round(180 + 16 * i),
    Math.round(500 - 150 * Math.sin((i / 40) * 5 * Math.PI)),
  ]);
}

/** @returns {Point[]} */
function star() {
  return Array.from({ length: 6 }, (_, i) => {
    const angle = (i * 4 * Math.PI) / 5 - Math.PI / 2;
    return [Math.round(500 + 330 * Math.cos(angle)), Math.round(530 + 330 * Math.sin(angle))];
  });
}
