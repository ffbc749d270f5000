/** The learners, side by side on the same examples; one of them is shown in full. */

import { fill, h } from "./dom.js";
import { allScores, answer, chosen, percent, shown } from "./state.js";
import { whenChanged } from "./store.js";
import { most } from "./unseen.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./api.js").Learner} Learner */

/** @type {[string, string]} */
const NEIGHBOUR = ["Nearest neighbour", "The example with the most similar pixels. It has learned nothing before."];

/** @type {Record<string, [string, string]>} What methods are called, and how they decide. */
const METHODS = {
  protonet: ["Prototypical network", "The nearest class mean, in a space that was learned on other characters."],
  maml: ["MAML", "A few gradient steps on your examples, from a start that was learned on other characters."],
  matching: ["Matching network", "Attention to each example, in a space that was learned on other characters."],
  pixels: NEIGHBOUR,
  "nearest neighbour": NEIGHBOUR,
};

/** @param {Learner} learner @param {Learner[]} all */
export function called(learner, all) {
  const method = METHODS[learner.method]?.[0];
  const twins = all.filter(({ method }) => method === learner.method).length > 1;
  return method && !twins ? method : learner.name;
}

/** @param {Learner} learner */
export function explained(learner) {
  return METHODS[learner.method]?.[1] ?? "";
}

/**
 * @param {HTMLElement} element
 * @param {{choose: (learner: string) => void, measure: () => void}} actions
 * @returns {(state: State) => void}
 */
export function learners(element, actions) {
  return whenChanged(
    (state) => [
      ...[state.mode, state.learners, state.learner, state.answered, state.measured, state.unseen.deal],
      ...[shown(state).things, shown(state).query === null],
    ],
    (state) => {
      const known = shown(state).things.filter((thing) => thing.examples.length > 0);
      element.hidden = known.length < 2;
      fill(
        element,
        h("div", { class: "line" }, h("h2", {}, "Learners side by side"), test(state, actions.measure)),
        h(
          "div",
          { class: "cards", role: "radiogroup", "aria-label": "The learner that is shown in full" },
          ...state.learners.map((learner) => card(learner, state, actions.choose)),
        ),
      );
    },
  );
}

/** @param {State} state @param {() => void} measure */
function test(state, measure) {
  const { things } = shown(state);
  const runs = state.measured?.things === things && !state.measured.learnt;
  const off = runs || !things.some((thing) => thing.examples.length > 1);
  const about = {
    class: "quiet",
    "data-key": "measure",
    "aria-disabled": off ? "true" : "false", // the focus stays, as it would not on one that is disabled
    title: "Leave out each example in turn, and ask about it",
    onclick: () => off || measure(),
  };
  return h("button", about, runs ? "Testing …" : "Leave-one-out test");
}

/**
 * @param {Learner} learner
 * @param {State} state
 * @param {(learner: string) => void} choose
 */
function card(learner, state, choose) {
  const { name } = learner;
  const isChosen = chosen(state) === learner;
  return h(
    "label",
    { class: "card" },
    h("input", {
      type: "radio",
      class: "unseen",
      name: "learner",
      checked: isChosen,
      "data-key": `learner ${name}`,
      onchange: () => choose(name),
    }),
    h("span", { class: "who" }, called(learner, state.learners)),
    verdict(state, name),
    ...figures(state, name),
  );
}

/** @param {State} state @param {string} learner */
function verdict(state, learner) {
  const heard = answer(state, learner);
  if (!heard) return h("span", { class: "note" }, "–");
  const { said, classes, refused } = heard;
  if (!said) return h("span", { class: "note" }, refused ?? "");
  const place = most(said.probabilities);
  const thing = shown(state).things.find(({ name }) => name === classes[place]);
  if (said.unknown) return h("span", { class: "verdict" }, "none of these");
  return h(
    "span",
    { class: "verdict class", vars: { place: thing?.colour ?? 0 } },
    h("span", { class: "name" }, classes[place]),
    h("span", { class: "share" }, ` ${percent(said.probabilities[place])}`),
  );
}

/** What was counted of a learner. @param {State} state @param {string} learner */
function figures(state, learner) {
  const found = [];
  const score = state.mode === "unseen" && allScores(state)[learner];
  if (score) found.push(h("span", { class: "score" }, `right ${score.right} of ${score.of}`));
  const left = leftOut(state, learner);
  if (left) found.push(h("span", { class: "note" }, left));
  return found;
}

/** What the leave-one-out test found, in words for who hears it. @param {State} state */
export function measured(state) {
  const { learners } = state;
  const found = learners.map((one) => [called(one, learners), leftOut(state, one.name)]);
  return found.filter(([, left]) => left).map(([name, left]) => `${name}: ${left}.`).join(" ");
}

/** @param {State} state @param {string} learner */
function leftOut(state, learner) {
  if (state.measured?.things !== shown(state).things) return null;
  const left = state.measured.learnt?.answers.find((answer) => answer.learner === learner)?.left_out;
  return left ? `${left.right} of ${left.of} left-out examples right` : null;
}
