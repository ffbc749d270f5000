/** Holds the state, tells who listens, and keeps what was drawn in the browser's database. */

import { START } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./board.js").Board} Board */

const DATABASE = "quickstudy";
const TABLE = "playground";
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
 * Goes on with what was kept here before. Where the browser keeps nothing (a private window, say),
 * the page works all the same.
 * @param {Store} store
 */
export async function restore(store) {
  try {
    const database = await opened();
    const kept = await done(database.transaction(TABLE).objectStore(TABLE).get("state"));
    if (kept) store.change(kept);
    keepFrom(store, database);
  } catch (error) {
    console.info("Nothing is kept for the next visit:", error);
  }
}

/** @param {Store} store @param {IDBDatabase} database */
function keepFrom(store, database) {
  /** @type {unknown[]} */
  let last = [];
  store.listen(({ mode, board, unseen, learner }) => {
    const parts = [mode, board, unseen, learner];
    if (parts.every((part, i) => part === last[i])) return;
    last = parts;
    const table = database.transaction(TABLE, "readwrite").objectStore(TABLE);
    table.put({ mode, board, unseen, learner }, "state");
  });
}

/** @returns {Promise<IDBDatabase>} */
function opened() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
  return done(request);
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
