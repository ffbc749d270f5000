/** What stands under the pad: undo, clear and pictures, or the next unseen character. */

import { fill, h } from "./dom.js";
import { whenChanged } from "./store.js";

/** @typedef {import("./state.js").State} State */

/**
 * @typedef {object} Actions
 * @property {() => void} undo
 * @property {() => void} clear
 * @property {(files: File[]) => void} ask about a picture
 * @property {() => void} next
 * @property {() => void} all
 * @property {(way: number, shot: number) => void} deal
 */

/** @param {HTMLElement} element @param {Actions} actions @returns {(state: State) => void} */
export function tools(element, actions) {
  return whenChanged(
    ({ mode, past, board, unseen }) => [mode, past.length > 0, board.query === null, unseen.deal, !unseen.own],
    (state) => fill(element, ...(state.mode === "draw" ? forDrawing : forUnseen)(state, actions)),
  );
}

/** @param {State} state @param {Actions} actions */
function forDrawing(state, actions) {
  return [
    button("Undo", actions.undo, state.past.length > 0),
    button("Clear", actions.clear, state.board.query !== null),
    file("Picture", actions.ask, {}),
    file("Camera", actions.ask, { capture: "environment" }),
  ];
}

/** @param {State} state @param {Actions} actions */
function forUnseen(state, actions) {
  const { way, shot, deal, own } = state.unseen;
  const left = deal ? deal.queries.length - deal.at - 1 : 0;
  const next = left > 0 ? button("Next", actions.next, !own, "main") : null;
  return [
    next,
    left > 0 && button(`All ${left}`, actions.all, !own),
    button("New characters", () => actions.deal(way, shot), true, left > 0 ? "quiet" : "main"),
    own && button("Undo", actions.undo, true),
    own && button("Clear", actions.clear, true),
    h(
      "span",
      { class: "choices" },
      choice("Characters", [2, 3, 5, 10, 20], way, (value) => actions.deal(value, shot)),
      choice("Examples of each", [1, 2, 5], shot, (value) => actions.deal(way, value)),
    ),
    deal && h("p", { class: "note" }, `These are ${deal.words}. Draw one of them, too.`),
  ];
}

/**
 * @param {string} words
 * @param {() => void} onclick
 * @param {boolean} able
 * @param {string} [look]
 */
function button(words, onclick, able, look = "quiet") {
  return h("button", { class: look, "data-key": words.split(" ")[0], disabled: !able, onclick }, words);
}

/**
 * @param {string} words
 * @param {(files: File[]) => void} chosen
 * @param {Record<string, string>} more
 */
function file(words, chosen, more) {
  const field = h("input", {
    type: "file",
    accept: "image/*",
    class: "unseen",
    "data-key": words,
    ...more,
    onchange: (/** @type {Event} */ event) => {
      const { files } = /** @type {HTMLInputElement} */ (event.target);
      if (files?.length) chosen([...files]);
    },
  });
  return h("label", { class: `quiet ${words.toLowerCase()}` }, field, words);
}

/**
 * @param {string} words
 * @param {number[]} values
 * @param {number} value
 * @param {(value: number) => void} chosen
 */
function choice(words, values, value, chosen) {
  const select = h("select", {
    "data-key": words,
    onchange: (/** @type {Event} */ event) => chosen(Number(/** @type {HTMLSelectElement} */ (event.target).value)),
  }, ...values.map((number) => h("option", { value: number, selected: number === value }, String(number))));
  return h("label", { class: "choice" }, words, select);
}

/**
 * The choice between one's own drawings and unseen characters.
 * @param {HTMLElement} element
 * @param {(mode: State["mode"]) => void} choose
 * @returns {(state: State) => void}
 */
export function modes(element, choose) {
  const tab = (/** @type {State["mode"]} */ mode, /** @type {string} */ words, /** @type {State} */ state) =>
    h("button", {
      "data-key": mode,
      "aria-pressed": state.mode === mode ? "true" : "false",
      onclick: () => choose(mode),
    }, words);
  return whenChanged(
    ({ mode }) => [mode],
    (state) => fill(element, tab("draw", "Draw", state), tab("unseen", "Unseen characters", state)),
  );
}

