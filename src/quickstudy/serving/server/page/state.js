/** What the page knows, in one object that is replaced and never changed. */

import { EMPTY } from "./board.js";
import { scores } from "./unseen.js";

/** @typedef {import("./api.js").Drawing} Drawing */
/** @typedef {import("./api.js").Learner} Learner */
/** @typedef {import("./api.js").Learnt} Learnt */
/** @typedef {import("./api.js").Example} Example */
/** @typedef {import("./board.js").Board} Board */
/** @typedef {import("./board.js").Thing} Thing */

/** @typedef {{things: Thing[], queries: Drawing[]}} Question */
/** @typedef {{question: Question, learnt: Learnt}} Answered */

/**
 * @typedef {object} State
 * @property {"draw" | "unseen"} mode
 * @property {Board} board of mode "draw"
 * @property {Board[]} past boards that undo goes back to, the last one last
 * @property {{way: number, shot: number, before: import("./unseen.js").Scores,
 *   deal: import("./unseen.js").Deal | null, own: Drawing | null}} unseen of mode "unseen";
 *   `before` are the scores of earlier deals, `own` a drawing in place of the dealt query
 * @property {Learner[]} learners
 * @property {string | null} learner the one whose answer is shown in full
 * @property {number | null} step of its gradient steps; null is the last one
 * @property {Answered | null} answered
 * @property {{things: Thing[], learnt: Learnt | null} | null} measured
 *   with examples left out; learnt is null while this goes on
 * @property {string | null} trouble
 */

/** @type {State} */
export const START = {
  mode: "draw",
  board: EMPTY,
  past: [],
  unseen: { way: 5, shot: 1, before: {}, deal: null, own: null },
  learners: [],
  learner: null,
  step: null,
  answered: null,
  measured: null,
  trouble: null,
};

/**
 * The things and the query on the screen. @param {State} state
 * @returns {{things: Thing[], query: Drawing | null}}
 */
export function shown(state) {
  if (state.mode === "draw") return state.board;
  const { deal, own } = state.unseen;
  if (deal === null) return EMPTY;
  return { things: deal.things, query: own ?? deal.queries[deal.at] };
}

/** What to ask the server: dealt queries all at once. @param {State} state @returns {Question} */
export function question(state) {
  const { things, query } = shown(state);
  const { deal, own } = state.unseen;
  if (state.mode === "unseen" && deal && !own) return { things, queries: deal.queries };
  return { things, queries: query ? [query] : [] };
}

/** @param {Question} a @param {Question} b */
export function same(a, b) {
  const queries = a.queries.length === b.queries.length && a.queries.every((q, i) => q === b.queries[i]);
  return a.things === b.things && queries;
}

/** @param {Thing[]} things @returns {Example[]} */
export function examples(things) {
  return things.flatMap(({ name, examples }) => examples.map((drawing) => ({ name, drawing })));
}

/** The learner whose answer is shown in full. @param {State} state @returns {Learner | null} */
export function chosen(state) {
  return state.learners.find(({ name }) => name === state.learner) ?? state.learners[0] ?? null;
}

/**
 * What a learner says of the query on the screen. While a drawing grows, it is what it said a
 * moment ago. Null where there is no answer.
 * @param {State} state
 * @param {string} learner
 */
export function answer(state, learner) {
  const { query, things } = shown(state);
  const dealt = state.mode === "unseen" && !state.unseen.own;
  const current = state.answered?.question.things === things ? state.answered.learnt : null;
  const learnt = dealt ? state.unseen.deal?.learnt : current;
  const answer = learnt?.answers.find((answer) => answer.learner === learner);
  if (!query || !learnt || !answer) return null;
  const said = answer.queries[dealt ? (state.unseen.deal?.at ?? 0) : 0];
  return { classes: learnt.classes, refused: answer.refused, threshold: answer.threshold, said };
}

/** The true name of the query on the screen, where it is known. @param {State} state */
export function truth(state) {
  const { deal, own } = state.unseen;
  return state.mode === "unseen" && deal && !own ? deal.truth[deal.at] : null;
}

/** The scores on unseen characters. @param {State} state */
export function allScores(state) {
  return scores(state.unseen.before, state.unseen.deal);
}

/** Percent, in whole numbers, and never 100 or 0 by rounding alone. @param {number} share */
export function percent(share) {
  const rounded = Math.round(100 * share);
  if (rounded === 100 && share < 0.9995) return "> 99\u00a0%";
  return rounded === 0 && share > 0.0005 ? "< 1\u00a0%" : `${rounded}\u00a0%`;
}
