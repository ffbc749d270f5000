/** The server's interface, as far as the page uses it: docs/serving.md. */

import { fromStrokes } from "./pictures.js";

/** What the server answers where it made a model, and none of its name was there. */
const CREATED = 201;

/** @typedef {[number, number]} Point */
/** @typedef {{strokes: Point[][]} | {picture: string}} Drawing  A picture is a `data:` address. */
/** @typedef {{name: string, drawing: Drawing}} Example */

/**
 * @typedef {object} Learner
 * @property {string} name
 * @property {string} method
 * @property {{kind: string, shape: number[], strokes: boolean}} takes
 * @property {("steps" | "attention")[]} shows
 */

/**
 * @typedef {object} Said  What a learner says of one query.
 * @property {number[]} probabilities
 * @property {boolean} unknown
 * @property {number | null} score
 * @property {{example: number, distance: number}[]} nearest
 * @property {number[] | null} attention
 * @property {number[][] | null} steps
 */

/**
 * @typedef {object} Answer  What a learner says of all queries.
 * @property {string} learner
 * @property {string | null} refused
 * @property {number | null} threshold
 * @property {Said[]} queries
 * @property {{right: number, of: number} | null} left_out
 */

/** @typedef {{classes: string[], answers: Answer[], seen: {queries: string[]} | null}} Learnt */
/** @typedef {{name: string, pictures: string[]}} Character */

/** What the server says of a request that it does not answer. */
export class Refused extends Error {
  /** @param {string} message @param {number} status */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** @returns {Promise<Learner[]>} those that take pictures */
export async function learners() {
  const { learners } = await request("GET", "v1/learners");
  return learners.filter((/** @type {Learner} */ learner) => learner.takes.kind === "pictures");
}

/**
 * Learns from examples, and answers about queries.
 * @param {Learner[]} learners
 * @param {Example[]} examples
 * @param {Drawing[]} queries
 * @param {{measure?: boolean}} [options]
 * @returns {Promise<Learnt>}
 */
export function learn(learners, examples, queries, { measure = false } = {}) {
  const input = inputFor(learners);
  return request("POST", "v1/learn", {
    learners: learners.map((learner) => learner.name),
    examples: examples.map(({ name, drawing }) => ({ class: name, input: input(drawing) })),
    queries: queries.map(input),
    measure,
    show: queries.length === 1,
  });
}

/**
 * Characters that no learner was trained on.
 * @param {number} count
 * @param {number} drawings
 * @returns {Promise<{words: string, characters: Character[]}>}
 */
export function characters(count, drawings) {
  return request("GET", `v1/characters?count=${count}&drawings=${drawings}`);
}

/**
 * Adapts a learner, and keeps what comes of it as a model of the server.
 * @param {string} name
 * @param {Learner} learner
 * @param {{name: string, examples: Drawing[]}[]} things
 * @returns {Promise<boolean>} whether it took the place of a model of this name
 */
export async function keep(name, learner, things) {
  const input = inputFor([learner]);
  const classes = Object.fromEntries(
    things.map((thing) => [thing.name, thing.examples.map(input)]),
  );
  const address = `v1/models/${encodeURIComponent(name)}`;
  return (await sent("PUT", address, { learner: learner.name, classes })).status !== CREATED;
}

/** How inputs are sent: as strokes where all learners take these. @param {Learner[]} learners */
function inputFor(learners) {
  const strokes = learners.every((learner) => learner.takes.strokes);
  return (/** @type {Drawing} */ drawing) => {
    if ("picture" in drawing) return drawing.picture;
    return strokes ? drawing : fromStrokes(drawing);
  };
}

/** What the server says. @param {string} method @param {string} address @param {unknown} [body] */
async function request(method, address, body) {
  return (await sent(method, address, body)).said;
}

/** What the server says, and with which status. @param {string} method @param {string} address @param {unknown} [body] */
async function sent(method, address, body) {
  let response;
  try {
    response = await fetch(address, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refused("The server does not answer. Is it still running?", 0);
  }
  const said = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(said.error ?? response.statusText, response.status);
  return { said, status: response.status };
}
