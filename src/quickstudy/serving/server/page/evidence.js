/** How the chosen learner came to its answer: near examples, attention, and gradient steps. */

import { fill, h, setVars, svg } from "./dom.js";
import { thumbnail } from "./drawing.js";
import { explained } from "./learners.js";
import { answer, chosen, examples, percent, shown } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./board.js").Thing} Thing */
/** @typedef {import("./api.js").Said} Said */

const [WIDTH, HEIGHT] = [320, 120];

/**
 * @param {HTMLElement} element
 * @param {(step: number) => void} toStep
 * @returns {(state: State) => void}
 */
export function evidence(element, toStep) {
  return (state) => {
    const learner = chosen(state);
    const heard = learner && answer(state, learner.name);
    element.hidden = !heard?.said;
    if (!learner || !heard?.said) return;
    const { things } = shown(state);
    const { said, classes } = heard;
    const colours = classes.map((name) => things.find((thing) => thing.name === name)?.colour ?? 0);
    fill(
      element,
      h("h2", {}, "How it decides"),
      h("p", { class: "lead" }, explained(learner)),
      h(
        "div",
        { class: "panels" },
        said.steps && steps(said.steps, state.step, colours, classes, toStep),
        said.attention ? attention(said.attention, things) : nearest(said, things),
        seen(state),
        said.score !== null && familiar(said, heard.threshold),
      ),
    );
  };
}

/** @param {Said} said @param {Thing[]} things */
function nearest(said, things) {
  const all = examples(things);
  const near = said.nearest.filter(({ example }) => example in all);
  return panel(
    "Nearest examples",
    h("ul", { class: "row" }, ...near.map(({ example }) => pictured(all[example], things))),
  );
}

/** @param {number[]} shares @param {Thing[]} things */
function attention(shares, things) {
  const all = examples(things);
  const order = shares.map((_, i) => i).filter((i) => i in all).sort((a, b) => shares[b] - shares[a]);
  return panel(
    "Attention to each example",
    h("ul", { class: "row" }, ...order.map((i) => pictured(all[i], things, shares[i]))),
  );
}

/**
 * @param {import("./api.js").Example} example
 * @param {Thing[]} things
 * @param {number} [share]
 */
function pictured({ name, drawing }, things, share) {
  const colour = things.find((thing) => thing.name === name)?.colour ?? 0;
  return h(
    "li",
    { class: "class", vars: { place: colour, share: share ?? 0 } },
    thumbnail(drawing, `An example of ${name}`),
    share !== undefined && h("span", { class: "bar", "aria-hidden": "true" }),
    h("span", { class: "note" }, share === undefined ? name : percent(share)),
  );
}

/**
 * The probabilities before the first gradient step and after each.
 * @param {number[][]} steps
 * @param {number | null} at
 * @param {number[]} colours
 * @param {string[]} classes
 * @param {(step: number) => void} toStep
 */
function steps(steps, at, colours, classes, toStep) {
  const last = steps.length - 1;
  const step = Math.min(at ?? last, last);
  const x = (/** @type {number} */ i) => (WIDTH * i) / Math.max(1, last);
  const y = (/** @type {number} */ share) => HEIGHT * (1 - share);
  const lines = colours.map((colour, k) => {
    const points = steps.map((shares, i) => `${x(i).toFixed(1)},${y(shares[k]).toFixed(1)}`);
    return svg("polyline", { class: "class", vars: { place: colour }, points: points.join(" ") });
  });
  const words = classes.map((name, k) => `${name} ${percent(steps[step][k])}`).join(", ");
  const label = step === 0 ? "Before the first gradient step" : `After gradient step ${step} of ${last}`;
  return panel(
    label,
    svg(
      "svg",
      { class: "chart", viewBox: `-4 -4 ${WIDTH + 8} ${HEIGHT + 8}`, role: "img", "aria-label": `${label}: ${words}` },
      svg("path", { class: "frame", d: `M0 0V${HEIGHT}H${WIDTH}` }),
      svg("path", { class: "at", d: `M${x(step)} 0V${HEIGHT}` }),
      ...lines,
    ),
    h("input", {
      type: "range",
      min: 0,
      max: last,
      value: step,
      "data-key": "step",
      "aria-label": "Gradient step",
      "aria-valuetext": `${label}: ${words}`,
      oninput: (/** @type {Event} */ event) => toStep(Number(/** @type {HTMLInputElement} */ (event.target).value)),
    }),
    h("p", { class: "note" }, words),
  );
}

/** The query as learners see it. @param {State} state */
function seen(state) {
  const bytes = state.answered?.learnt.seen?.queries[0];
  if (!bytes || state.answered?.question.things !== shown(state).things) return null;
  const picture = h("img", { class: "thumb pixels", src: `data:image/png;base64,${bytes}`, alt: "The drawing in 28 × 28 pixels" });
  return panel("What it sees", h("ul", { class: "row" }, h("li", {}, picture)));
}

/** How familiar the query is. @param {Said} said @param {number | null} threshold */
function familiar(said, threshold) {
  const score = said.score ?? 0;
  const bar = h("span", { class: "scale", "aria-hidden": "true" }, h("i"));
  setVars(bar, { share: score, threshold: threshold ?? 0 });
  return panel(
    said.unknown ? "Is it one of these? No." : "Is it one of these? Yes.",
    bar,
    h("span", { class: "note" }, `As familiar as ${percent(score)} of known drawings are, or more. At ${percent(threshold ?? 0)} or less, it is none of these.`),
  );
}

/** @param {string} title @param {...import("./dom.js").Child} children */
function panel(title, ...children) {
  return h("div", { class: "panel" }, h("h3", {}, title), ...children);
}
