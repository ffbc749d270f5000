/** Asks the server about what is on the screen: one question at a time, and always the newest. */

import { Refused, learn } from "./api.js";
import { examples, question, same } from "./state.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./state.js").Question} Question */

const BUSY = 503;
const AGAIN_AFTER = 1000;

/** @param {Store} store */
export function askWheneverItChanges(store) {
  /** @type {Question} */
  let asked = { things: [], queries: [] };
  let waiting = false;

  const ask = async () => {
    const next = question(store.state);
    const known = examples(next.things);
    if (waiting || same(next, asked) || store.state.learners.length === 0) return;
    asked = next;
    if (known.length === 0 || next.queries.length === 0) {
      if (store.state.answered || store.state.trouble) store.change({ answered: null, trouble: null });
      return;
    }
    waiting = true;
    try {
      const learnt = await learn(store.state.learners, known, next.queries);
      heard(store, next, learnt);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      store.change({ trouble: error.message, answered: null });
      if (error.status === BUSY || error.status === 0) {
        await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER));
        asked = { things: [], queries: [] };
      }
    } finally {
      waiting = false;
    }
    ask();
  };
  store.listen(ask);
}

/**
 * @param {Store} store
 * @param {Question} question
 * @param {import("./api.js").Learnt} learnt
 */
function heard(store, question, learnt) {
  const { deal } = store.state.unseen;
  store.change({ answered: { question, learnt }, trouble: null });
  if (deal && question.queries === deal.queries) store.unseen({ deal: { ...deal, learnt } });
}
