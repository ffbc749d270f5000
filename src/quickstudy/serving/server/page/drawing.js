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

/** The smallest rectangle around strokes. @param {Point[][]} strokes */
export function bounds(strokes) {
  const xs = strokes.flat().map(([x]) => x);
  const ys = strokes.flat().map(([, y]) => y);
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return { left, top, width: Math.max(...xs) - left, height: Math.max(...ys) - top };
}

/**
 * A small picture of a drawing; its ink fills it, whatever part of the pad it took.
 * @param {Drawing} drawing
 * @param {string} words what it is a picture of
 */
export function thumbnail(drawing, words) {
  if ("picture" in drawing) return h("img", { class: "thumb", src: drawing.picture, alt: words });
  const { left, top, width, height } = bounds(drawing.strokes);
  const side = 1.35 * Math.max(width, height, 60);
  const corner = [left + width / 2 - side / 2, top + height / 2 - side / 2];
  return svg(
    "svg",
    { class: "thumb", viewBox: [...corner, side, side].join(" "), ...named(words) },
    svg("path", { d: path(drawing.strokes), "stroke-width": 0.065 * side }),
  );
}

/** What screen readers say of a picture; without words, they pass it over. @param {string} words */
function named(words) {
  return words ? { role: "img", "aria-label": words } : { "aria-hidden": "true" };
}

/**
 * A squiggle, as an empty pad suggests it; numbers from 0 on give different ones.
 * @param {number} which
 * @returns {Point[][]}
 */
export function squiggle(which = 0) {
  const [height, waves] = [150 + 25 * which, 2.5 - 0.25 * which];
  const point = (/** @type {number} */ i) => 500 - height * Math.sin((i / 40) * waves * 2 * Math.PI);
  return [Array.from({ length: 41 }, (_, i) => [180 + 16 * i, Math.round(point(i))])];
}

/**
 * A star of five corners, in one stroke.
 * @param {number} which
 * @returns {Point[][]}
 */
export function star(which = 0) {
  const corner = (/** @type {number} */ i) => {
    const angle = (i * 4 * Math.PI) / 5 - Math.PI / 2 + 0.12 * which;
    return [500 + 330 * Math.cos(angle), 530 + (330 - 20 * which) * Math.sin(angle)];
  };
  return [
    Array.from({ length: 41 }, (_, i) => {
      const [[a, b], [c, d]] = [corner(Math.floor(i / 8)), corner(Math.floor(i / 8) + 1)];
      const along = (i % 8) / 8;
      return [Math.round(a + along * (c - a)), Math.round(b + along * (d - b))];
    }),
  ];
}
