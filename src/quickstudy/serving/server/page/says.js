/** The headline: what the page says, which is also what a visitor does next. */

import { fill, h } from "./dom.js";
import { answer, chosen, percent, shown, truth } from "./state.js";
import { most } from "./unseen.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {{says: string, hint: string, colour?: number, share?: number}} Words */

/** How long the answer stays the same before a screen reader is told, in milliseconds. */
const SETTLED = 700;

/**
 * @param {HTMLElement} says
 * @param {HTMLElement} hint
 * @param {HTMLElement} live the region that screen readers listen to
 * @returns {(state: State) => void}
 */
export function headline(says, hint, live) {
  let last = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  return (state) => {
    const now = words(state);
    const share = now.share === undefined ? null : percent(now.share);
    fill(
      says,
      h("span", { class: now.colour === undefined ? "name" : "name class", vars: { place: now.colour ?? 0 } }, now.says),
      share && h("span", { class: "share" }, share),
    );
    fill(hint, now.hint);
    const spoken = [now.says, share, now.hint].filter(Boolean).join(" ");
    if (spoken === last) return;
    last = spoken;
    clearTimeout(timer);
    timer = setTimeout(() => fill(live, spoken), SETTLED);
  };
}

/** @param {State} state @returns {Words} */
function words(state) {
  if (state.trouble) return { says: "That did not work.", hint: state.trouble };
  const { things, query } = shown(state);
  const learner = chosen(state);
  const heard = learner && answer(state, learner.name);
  if (heard?.refused) return { says: "It does not answer.", hint: heard.refused };
  if (state.mode === "unseen" && !things.length) return { says: "A moment …", hint: "New characters come." };
  if (heard?.said) return answered(state, heard.classes, heard.said);
  if (query) return things.length ? { says: "…", hint: "" } : NAME_IT;
  return next(things.map((thing) => thing.name), state);
}

const NAME_IT = { says: "What is it?", hint: "Type its name. Then it is the first example." };

/** What to do with an empty pad. @param {string[]} names @param {State} state @returns {Words} */
function next(names, state) {
  const taught = state.board.things.filter((thing) => thing.examples.length > 0);
  if (names.length === 0) return { says: "Draw something.", hint: "A squiggle, a star, a letter: anything." };
  if (taught.length === 1) {
    return { says: "Something else.", hint: `Or one more ${taught[0].name}.` };
  }
  return { says: "Draw one more.", hint: "It answers while you draw." };
}

/**
 * @param {State} state
 * @param {string[]} classes
 * @param {import("./api.js").Said} said
 * @returns {Words}
 */
function answered(state, classes, said) {
  const place = most(said.probabilities);
  const name = classes[place];
  const colour = shown(state).things.find((thing) => thing.name === name)?.colour;
  const share = said.probabilities[place];
  const right = truth(state);
  if (right !== null) {
    const hint = name === right ? "Right." : `Wrong: it is ${right}.`;
    return { says: name, colour, share, hint: said.unknown ? `${hint} It looked unfamiliar.` : hint };
  }
  if (said.unknown) {
    return { says: "None of these.", hint: "Something new? Teach it its name." };
  }
  if (classes.length === 1) {
    return { says: name, colour, hint: "It knows only this. Teach it another." };
  }
  return { says: name, colour, share, hint: "Wrong? Teach it the right name." };
}
