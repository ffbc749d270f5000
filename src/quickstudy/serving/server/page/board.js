/**
 * A board: the things that were taught, with their examples, and the drawing that is asked about.
 * Every function here gives a new board and leaves the old one as it was.
 */

/** @typedef {import("./api.js").Drawing} Drawing */
/** @typedef {import("./api.js").Point} Point */
/** @typedef {{name: string, colour: number, examples: Drawing[], note?: string}} Thing */
/** @typedef {{things: Thing[], query: Drawing | null}} Board */

/** @type {Board} */
export const EMPTY = { things: [], query: null };

/**
 * Teaches the query as an example of a thing, which is new where no thing has this name, and
 * clears the pad. Without a query there is a new thing without examples.
 * @param {Board} board
 * @param {string} name
 * @returns {Board}
 */
export function taught(board, name) {
  const { things } = withExamples(board, name, board.query ? [board.query] : []);
  return { things, query: null };
}

/**
 * @param {Board} board
 * @param {string} name
 * @param {Drawing[]} examples
 * @returns {Board}
 */
export function withExamples(board, name, examples) {
  const known = board.things.some((thing) => thing.name === name);
  const things = known ? board.things : [...board.things, newThing(board, name)];
  return {
    ...board,
    things: things.map((thing) =>
      thing.name === name ? { ...thing, examples: [...thing.examples, ...examples] } : thing,
    ),
  };
}

/**
 * @param {Board} board
 * @param {string} name
 * @param {number} place
 * @returns {Board}
 */
export function withoutExample(board, name, place) {
  return changed(board, name, (thing) => ({
    ...thing,
    examples: thing.examples.filter((_, i) => i !== place),
  }));
}

/** @param {Board} board @param {string} name @returns {Board} */
export function withoutThing(board, name) {
  return { ...board, things: board.things.filter((thing) => thing.name !== name) };
}

/**
 * The board with another name for a thing; the same board where the name is empty or is taken.
 * @param {Board} board
 * @param {string} name
 * @param {string} better
 * @returns {Board}
 */
export function renamed(board, name, better) {
  if (!better || board.things.some((thing) => thing.name === better)) return board;
  return changed(board, name, (thing) => ({ ...thing, name: better }));
}

/**
 * The board with a stroke that goes on, or with one more where it has just begun.
 * @param {Board} board
 * @param {Point[]} stroke
 * @param {boolean} begun
 * @returns {Board}
 */
export function drawn(board, stroke, begun) {
  const strokes = board.query && "strokes" in board.query ? board.query.strokes : [];
  return { ...board, query: { strokes: [...(begun ? strokes : strokes.slice(0, -1)), stroke] } };
}

/**
 * @param {Board} board
 * @param {string} name
 * @param {(thing: Thing) => Thing} change
 * @returns {Board}
 */
function changed(board, name, change) {
  return {
    ...board,
    things: board.things.map((thing) => (thing.name === name ? change(thing) : thing)),
  };
}

/** @param {Board} board @param {string} name @returns {Thing} */
function newThing(board, name) {
  const taken = new Set(board.things.map((thing) => thing.colour));
  let colour = 0;
  while (taken.has(colour)) colour += 1;
  return { name, colour, examples: [] };
}
