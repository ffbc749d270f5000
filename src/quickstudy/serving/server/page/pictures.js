/** Pictures from files: made small, and photographs of ink on paper made clean. */

import { bounds, path } from "./drawing.js";

/** The longer side of pictures of ink, and of other pictures, in pixels. */
const [SMALL, LARGER] = [128, 224];

/** How far, in sides of the picture, paper is compared with its surroundings. */
const SURROUNDINGS = 1 / 8;

/** How much darker than its surroundings ink is. */
const DARKER = 0.82;

/** The longer side of the ink, and the width of lines, in sides of the picture: as the server draws. */
const [EXTENT, PEN] = [0.64, 4.2 / 105];

/**
 * Reads a picture, and gives it as a small one at a `data:` address.
 * @param {Blob} file
 * @param {boolean} ink keep ink alone, as black on white
 * @returns {Promise<string>}
 */
export async function read(file, ink) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`${file instanceof File ? file.name : "This"} is no picture that the browser can read.`);
  });
  const picture = canvas(bitmap, ink ? 4 * SMALL : LARGER);
  bitmap.close();
  return ink ? cleaned(picture).toDataURL("image/png") : picture.toDataURL("image/jpeg", 0.9);
}

/** @type {WeakMap<object, string>} */
const inked = new WeakMap();

/**
 * A drawing as a picture, black on white, for learners that take no strokes.
 * @param {{strokes: import("./api.js").Point[][]}} drawing
 * @returns {string} its `data:` address
 */
export function fromStrokes(drawing) {
  const known = inked.get(drawing);
  if (known) return known;
  const { left, top, width, height } = bounds(drawing.strokes);
  const scale = (EXTENT * LARGER) / Math.max(width, height, 1);
  const picture = blank(LARGER, LARGER);
  const context = context2d(picture);
  context.translate(LARGER / 2, LARGER / 2);
  context.scale(scale, scale);
  context.translate(-left - width / 2, -top - height / 2);
  context.lineWidth = (PEN * LARGER) / scale;
  context.lineCap = context.lineJoin = "round";
  context.stroke(new Path2D(path(drawing.strokes)));
  const address = picture.toDataURL("image/png");
  inked.set(drawing, address);
  return address;
}

/**
 * A picture on white, with its longer side as given, or as it is if that is shorter.
 * @param {ImageBitmap | HTMLCanvasElement} picture
 * @param {number} side
 */
function canvas(picture, side) {
  const scale = Math.min(1, side / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((x) => Math.max(1, Math.round(scale * x)));
  const result = blank(width, height);
  context2d(result).drawImage(picture, 0, 0, width, height);
  return result;
}

/**
 * The ink of a photograph: what is darker than the mean of its surroundings (Bradley and Roth
 * 2007), so that shadows on the paper do not count. Light ink on dark is turned round first. The
 * result is a square around the ink.
 * @param {HTMLCanvasElement} photograph
 */
function cleaned(photograph) {
  const { width, height } = photograph;
  const grey = greyOf(photograph);
  const isInk = darkerThanAround(grey, width, height);
  let [left, top, right, bottom] = [width, height, -1, -1];
  const pixels = new ImageData(width, height);
  for (let i = 0; i < isInk.length; i++) {
    pixels.data.set(isInk[i] ? [0, 0, 0, 255] : [255, 255, 255, 255], 4 * i);
    if (!isInk[i]) continue;
    [left, right] = [Math.min(left, i % width), Math.max(right, i % width)];
    [top, bottom] = [Math.min(top, Math.floor(i / width)), Math.max(bottom, Math.floor(i / width))];
  }
  if (right < 0) return canvas(photograph, SMALL);
  context2d(photograph).putImageData(pixels, 0, 0);
  const side = Math.ceil(Math.max(right - left + 1, bottom - top + 1, 16) / EXTENT);
  const square = blank(side, side);
  context2d(square).drawImage(photograph, (side - left - right - 1) / 2, (side - top - bottom - 1) / 2);
  return canvas(square, SMALL);
}

/**
 * Brightness from 0 to 1, with a border that is bright.
 * @param {HTMLCanvasElement} picture
 */
function greyOf(picture) {
  const { width, height } = picture;
  const { data } = context2d(picture).getImageData(0, 0, width, height);
  const grey = new Float32Array(width * height);
  let [border, count] = [0, 0];
  for (let i = 0; i < grey.length; i++) {
    grey[i] = (0.3 * data[4 * i] + 0.59 * data[4 * i + 1] + 0.11 * data[4 * i + 2]) / 255;
    const [x, y] = [i % width, Math.floor(i / width)];
    if (x > 0 && y > 0 && x < width - 1 && y < height - 1) continue;
    border += grey[i];
    count += 1;
  }
  return border / count < 0.5 ? grey.map((value) => 1 - value) : grey;
}

/**
 * Whether each pixel is darker than the mean of the square around it, by sums over rectangles.
 * @param {Float32Array} grey
 * @param {number} width
 * @param {number} height
 */
function darkerThanAround(grey, width, height) {
  const sums = new Float64Array((width + 1) * (height + 1));
  for (let y = 0; y < height; y++) {
    let row = 0;
    for (let x = 0; x < width; x++) {
      row += grey[y * width + x];
      sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
    }
  }
  const far = Math.max(4, Math.round(SURROUNDINGS * Math.max(width, height)));
  return Array.from(grey, (value, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    const [x0, x1] = [Math.max(0, x - far), Math.min(width, x + far + 1)];
    const [y0, y1] = [Math.max(0, y - far), Math.min(height, y + far + 1)];
    const at = (/** @type {number} */ a, /** @type {number} */ b) => sums[b * (width + 1) + a];
    const mean = (at(x1, y1) - at(x0, y1) - at(x1, y0) + at(x0, y0)) / ((x1 - x0) * (y1 - y0));
    return value < DARKER * mean;
  });
}

/** A white canvas. @param {number} width @param {number} height */
function blank(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = context2d(canvas);
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  return canvas;
}

/** @param {HTMLCanvasElement} canvas */
function context2d(canvas) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Error("The browser gives no canvas.");
  return context;
}
