/** Characters that no learner was trained on: some as examples, others as queries, and the score. */

import { characters } from "./api.js";

/** @typedef {import("./board.js").Thing} Thing */
/** @typedef {import("./api.js").Drawing} Drawing */
/** @typedef {import("./api.js").Learnt} Learnt */
/** @typedef {Record<string, {right: number, of: number}>} Scores  By learner. */

/**
 * @typedef {object} Deal
 * @property {string} words where the characters come from
 * @property {Thing[]} things
 * @property {Drawing[]} queries
 * @property {string[]} truth the name of each query
 * @property {number} at the query that is shown; it and those before it count
 * @property {Learnt | null} learnt
 */

/** How many queries a deal has, or one for each character where there are more of them. */
const QUERIES = 10;

/**
 * @param {number} way how many characters
 * @param {number} shot how many examples of each
 * @returns {Promise<Deal>}
 */
export async function deal(way, shot) {
  const each = Math.max(1, Math.round(QUERIES / way));
  const dealt = await characters(way, shot + each);
  const things = dealt.characters.map(({ name, pictures }, colour) => ({
    name: letter(colour),
    colour,
    note: spoken(name),
    examples: pictures.slice(0, shot).map(picture),
  }));
  const asked = dealt.characters.flatMap(({ pictures }, place) =>
    pictures.slice(shot).map((bytes) => ({ query: picture(bytes), truth: letter(place) })),
  );
  const shuffled = inRandomOrder(asked);
  return {
    words: dealt.words,
    things,
    queries: shuffled.map(({ query }) => query),
    truth: shuffled.map(({ truth }) => truth),
    at: 0,
    learnt: null,
  };
}

/**
 * The scores with the queries of a deal that were shown. A learner is right where the true name
 * is its most probable one.
 * @param {Scores} before
 * @param {Deal | null} deal
 * @returns {Scores}
 */
export function scores(before, deal) {
  const after = { ...before };
  if (!deal?.learnt) return after;
  const { classes, answers } = deal.learnt;
  for (const { learner, queries } of answers) {
    const shown = queries.slice(0, deal.at + 1);
    if (shown.length === 0) continue;
    const right = shown.filter((said, i) => classes[most(said.probabilities)] === deal.truth[i]);
    const old = after[learner] ?? { right: 0, of: 0 };
    after[learner] = { right: old.right + right.length, of: old.of + shown.length };
  }
  return after;
}

/** The place of the largest number. @param {number[]} numbers */
export function most(numbers) {
  return numbers.indexOf(Math.max(...numbers));
}

/** @param {string} bytes PNG in base64 @returns {Drawing} */
function picture(bytes) {
  return { picture: `data:image/png;base64,${bytes}` };
}

/** "A" for the first character. @param {number} place */
function letter(place) {
  return String.fromCharCode("A".charCodeAt(0) + place);
}

/** "Angelic/character01" -> "Angelic 1". @param {string} name */
function spoken(name) {
  return name.replace(/[_/]+/g, " ").replace(/character ?0*(?=\d)/, "");
}

/**
 * @template T
 * @param {T[]} items
 * @returns {T[]}
 */
function inRandomOrder(items) {
  return items
    .map((item) => ({ item, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}
