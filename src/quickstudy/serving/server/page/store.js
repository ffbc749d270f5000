/** Holds the state, tells who listens, and keeps what was drawn for the next visit. */

import { START } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./board.js").Board} Board */

/** Where the browser keeps it, with a number for its form. */
const KEPT = "quickstudy playground 1";

/** How long nothing changes before it is kept, in milliseconds. */
const AFTER = 500;

const MOST_PAST = 200;

export class Store {
  /** @type {State} */
  state = START;
  /** @type {((state: State) => void)[]} */
  #listeners = [];

  /** @param {(state: State) => void} listener */
  listen(listener) {
    this.#listeners.push(listener);
  }

  /** @param {Partial<State>} parts */
  change(parts) {
    this.state = { ...this.state, ...parts };
    for (const listener of this.#listeners) listener(this.state);
  }

  /** Changes the board so that undo goes back to what it was. @param {Board} board */
  board(board) {
    if (board === this.state.board) return;
    this.change({ board, past: [...this.state.past, this.state.board].slice(-MOST_PAST) });
  }

  undo() {
    const past = [...this.state.past];
    const board = past.pop();
    if (board) this.change({ board, past });
  }

  /** Changes what belongs to unseen characters. @param {Partial<State["unseen"]>} parts */
  unseen(parts) {
    this.change({ unseen: { ...this.state.unseen, ...parts } });
  }
}

/**
 * A listener that acts when one of these parts of the state has changed.
 * @param {(state: State) => unknown[]} parts
 * @param {(state: State) => void} act
 * @returns {(state: State) => void}
 */
export function whenChanged(parts, act) {
  /** @type {unknown[] | null} */
  let last = null;
  return (state) => {
    const now = parts(state);
    if (last && now.every((part, i) => part === /** @type {unknown[]} */ (last)[i])) return;
    last = now;
    act(state);
  };
}

/**
 * Goes on with what was kept here before, and keeps what comes. Where the browser keeps nothing (a
 * private window, say), the page works all the same.
 * @param {Store} store
 */
export function restore(store) {
  const orNot = (/** @type {() => void} */ work) => {
    try {
      work();
    } catch (error) {
      console.info("The browser keeps nothing for the next visit:", error);
    }
  };
  const keep = () => {
    const { mode, board, unseen, learner } = store.state;
    // Another visit may meet other learners of the same names: what these said and scored stays here.
    const dealt = { ...unseen, before: {}, deal: unseen.deal && { ...unseen.deal, learnt: null } };
    orNot(() => localStorage.setItem(KEPT, JSON.stringify({ mode, board, unseen: dealt, learner })));
  };
  orNot(() => store.change(JSON.parse(localStorage.getItem(KEPT) ?? "{}")));
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  store.listen(
    whenChanged(({ mode, board, unseen, learner }) => [mode, board, unseen, learner], () => {
      clearTimeout(timer);
      timer = setTimeout(keep, AFTER);
    }),
  );
  addEventListener("pagehide", keep);
}
