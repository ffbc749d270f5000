/** What was taught: a row for each thing, with its examples and how probable it is now. */

import { fill, h, setVars } from "./dom.js";
import { SUGGESTIONS, thumbnail } from "./drawing.js";
import { answer, chosen, percent, shown, truth } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./board.js").Thing} Thing */

/**
 * @typedef {object} Actions
 * @property {(name: string) => void} teach
 * @property {(name: string, better: string) => void} rename
 * @property {(name: string) => void} remove
 * @property {(name: string, place: number) => void} removeExample
 * @property {(name: string, files: File[]) => void} addFiles
 */

/**
 * @param {HTMLElement} element
 * @param {Actions} actions
 * @returns {(state: State) => void}
 */
export function taught(element, actions) {
  /** @type {unknown[]} */
  let last = [];
  return (state) => {
    const { things, query } = shown(state);
    const parts = [things, state.mode, query === null];
    if (parts.some((part, i) => part !== last[i])) {
      last = parts;
      const own = state.mode === "draw";
      fill(
        element,
        h("ul", { class: "things" }, ...things.map((thing) => row(thing, own && actions, query !== null))),
        own && newName(actions, query !== null),
        own && things.length === 0 && story(),
      );
    }
    showShares(element, state);
  };
}

/** Widths of bars, and figures. @param {HTMLElement} element @param {State} state */
function showShares(element, state) {
  const learner = chosen(state);
  const heard = learner && answer(state, learner.name);
  const said = heard?.said ?? null;
  const shares = said && (said.steps?.[state.step ?? -1] ?? said.probabilities);
  const right = truth(state);
  shown(state).things.forEach((thing, i) => {
    const item = /** @type {HTMLElement} */ (element.querySelectorAll(".thing")[i]);
    const share = shares?.[heard?.classes.indexOf(thing.name) ?? -1] ?? 0;
    setVars(item, { share });
    item.classList.toggle("doubtful", said?.unknown === true);
    item.classList.toggle("truth", thing.name === right);
    const figure = /** @type {HTMLElement} */ (item.querySelector(".figure"));
    figure.textContent = shares && thing.examples.length ? percent(share) : "";
  });
}

/**
 * @param {Thing} thing
 * @param {Actions | false} actions false for things that stay as they are
 * @param {boolean} drawn
 */
function row(thing, actions, drawn) {
  return h(
    "li",
    { class: "thing class", vars: { place: thing.colour }, "data-name": thing.name },
    h(
      "div",
      { class: "line" },
      actions ? nameField(thing, actions) : h("span", { class: "name" }, thing.name),
      h("span", { class: "figure" }),
      actions && h(
        "button",
        {
          class: "teach",
          "data-key": `teach ${thing.name}`,
          "aria-label": `Teach the drawing as ${thing.name}`,
          disabled: !drawn,
          onclick: () => actions.teach(thing.name),
        },
        "Teach",
      ),
    ),
    h("div", { class: "bar", "aria-hidden": "true" }),
    h(
      "ul",
      { class: "examples", "aria-label": `Examples of ${thing.name}` },
      ...thing.examples.map((_, i) => example(thing, i, actions)),
      actions && h("li", {}, morePictures(thing, actions)),
    ),
  );
}

/** @param {Thing} thing @param {Actions} actions */
function nameField(thing, actions) {
  return h("input", {
    class: "name",
    value: thing.name,
    size: 12,
    maxlength: 60,
    autocomplete: "off",
    "data-key": `name ${thing.colour}`,
    "aria-label": `Name of ${thing.name}`,
    onchange: (/** @type {Event} */ event) => {
      const field = /** @type {HTMLInputElement} */ (event.target);
      actions.rename(thing.name, field.value.trim());
      field.value = thing.name;
    },
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter") /** @type {HTMLInputElement} */ (event.target).blur();
    },
  });
}

/** @param {Thing} thing @param {number} place @param {Actions | false} actions */
function example(thing, place, actions) {
  const words = `Example ${place + 1} of ${thing.name}`;
  const picture = thumbnail(thing.examples[place], words);
  if (!actions) return h("li", {}, picture);
  return h(
    "li",
    {},
    picture,
    h("button", {
      class: "remove",
      "data-key": `example ${thing.name} ${place}`,
      "aria-label": `Remove ${words.toLowerCase()}`,
      title: "Remove",
      onclick: () => actions.removeExample(thing.name, place),
    }, "×"),
  );
}

/** @param {Thing} thing @param {Actions} actions */
function morePictures(thing, actions) {
  const files = h("input", {
    type: "file",
    accept: "image/*",
    multiple: true,
    class: "unseen",
    "data-key": `files ${thing.name}`,
    "aria-label": `Add pictures of ${thing.name}`,
    onchange: (/** @type {Event} */ event) => {
      const field = /** @type {HTMLInputElement} */ (event.target);
      actions.addFiles(thing.name, [...(field.files ?? [])]);
    },
  });
  const remove = h("button", {
    class: "quiet",
    "data-key": `remove ${thing.name}`,
    "aria-label": `Remove ${thing.name} and its examples`,
    onclick: () => actions.remove(thing.name),
  }, "Remove");
  return h("span", { class: "more" }, h("label", { class: "quiet" }, files, "Add pictures"), remove);
}

/** @param {Actions} actions @param {boolean} drawn */
function newName(actions, drawn) {
  const field = h("input", {
    id: "new-name",
    placeholder: "Something new",
    maxlength: 60,
    autocomplete: "off",
    "aria-label": "Name of something new",
    "data-key": "new name",
  });
  return h(
    "form",
    {
      class: "new",
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        const name = /** @type {HTMLInputElement} */ (field).value.trim();
        if (name) actions.teach(name);
        else field.focus();
      },
    },
    field,
    h("button", { class: drawn ? "main" : "quiet", "data-key": "new" }, drawn ? "Name it" : "Add"),
  );
}

/** What happens here, in pictures, for who has just come. */
function story() {
  const { squiggle, star } = SUGGESTIONS;
  const step = (/** @type {import("./api.js").Point[][]} */ strokes, /** @type {string} */ words, /** @type {number} */ place) =>
    h("li", { class: "class", vars: { place } }, thumbnail({ strokes }, ""), h("span", {}, words));
  return h(
    "ol",
    { class: "story", "aria-label": "How it goes" },
    step(squiggle, "“squiggle”", 0),
    step(star, "“star”", 1),
    step(star, "star, 98 %", 1),
  );
}
