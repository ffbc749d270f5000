/** How the chosen learner came to its answer: near examples, attention, and gradient steps. */

import { fill, h, setVars, svg } from "./dom.js";
import { thumbnail } from "./drawing.js";
import { explained } from "./learners.js";
import { answer, chosen, examples, percent, shown } from "./state.js";
import { whenChanged } from "./store.js";

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
  return whenChanged(
    ({ mode, learners, learner, answered, unseen, board }) => [mode, learners, learner, answered, unseen, !board.query],
    (state) => {
      const learner = chosen(state);
      const heard = learner && answer(state, learner.name);
      element.hidden = !heard?.said;
      if (!learner || !heard?.said) return;
      const { things } = shown(state);
      const { said, classes, threshold } = heard;
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
          said.score !== null && familiar(said, threshold),
        ),
      );
    },
  );
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
 * The probabilities before the first gradient step and after each, and a slider along them.
 * @param {number[][]} steps
 * @param {number | null} at
 * @param {number[]} colours
 * @param {string[]} classes
 * @param {(step: number) => void} toStep
 */
function steps(steps, at, colours, classes, toStep) {
  const last = steps.length - 1;
  const x = (/** @type {number} */ step) => (WIDTH * step) / Math.max(1, last);
  const lines = colours.map((colour, k) => {
    const points = steps.map((shares, i) => `${x(i).toFixed(1)},${(HEIGHT * (1 - shares[k])).toFixed(1)}`);
    return svg("polyline", { class: "class", vars: { place: colour }, points: points.join(" ") });
  });
  const mark = svg("path", { class: "at" });
  const title = h("h3");
  const note = h("p", { class: "note" });
  const slider = /** @type {HTMLInputElement} */ (
    h("input", { type: "range", min: 0, max: last, value: Math.min(at ?? last, last), "data-key": "step", "aria-label": "Gradient step" })
  );
  const show = () => {
    const step = Number(slider.value);
    const words = classes.map((name, k) => `${name} ${percent(steps[step][k])}`).join(", ");
    title.textContent = step === 0 ? "Before the first gradient step" : `After gradient step ${step} of ${last}`;
    note.textContent = words;
    slider.setAttribute("aria-valuetext", `${title.textContent}: ${words}`);
    mark.setAttribute("d", `M${x(step)} 0V${HEIGHT}`);
  };
  slider.addEventListener("input", () => {
    show();
    toStep(Number(slider.value));
  });
  show();
  const view = `-4 -4 ${WIDTH + 8} ${HEIGHT + 8}`;
  const frame = svg("path", { class: "frame", d: `M0 0V${HEIGHT}H${WIDTH}` });
  const chart = svg("svg", { class: "chart", viewBox: view, "aria-hidden": "true" }, frame, mark, ...lines);
  return h("div", { class: "panel" }, title, chart, slider, note);
}

/** The query as learners see it. @param {State} state */
function seen(state) {
  const bytes = state.answered?.learnt.seen?.queries[0];
  if (!bytes || state.answered?.question.things !== shown(state).things) return null;
  const [height, width] = state.learners[0].takes.shape;
  const alt = `The drawing in ${width} × ${height} pixels`;
  const picture = h("img", { class: "thumb pixels", src: `data:image/png;base64,${bytes}`, alt });
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
    h("span", { class: "note" }, `At least as familiar as ${percent(score)} of known drawings. At ${percent(threshold ?? 0)} or less it says: none of these.`),
  );
}

/** @param {string} title @param {...import("./dom.js").Child} children */
function panel(title, ...children) {
  return h("div", { class: "panel" }, h("h3", {}, title), ...children);
}
