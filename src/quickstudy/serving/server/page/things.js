/** What was taught: a row for each thing, with its examples and how probable it is now. */

import { fill, h, setVars } from "./dom.js";
import { squiggle, star, thumbnail } from "./drawing.js";
import { answer, chosen, percent, shown, truth } from "./state.js";
import { whenChanged } from "./store.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./board.js").Thing} Thing */
/** @typedef {import("./api.js").Point} Point */

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
  const showRows = whenChanged(
    (state) => [state.mode, shown(state).things, shown(state).query === null],
    (state) => fill(element, ...rows(state, actions)),
  );
  return (state) => {
    showRows(state);
    showShares(element, state);
  };
}

/** @param {State} state @param {Actions} actions */
function rows(state, actions) {
  const { things, query } = shown(state);
  const [first, drawn] = [things.length === 0, query !== null];
  if (state.mode === "unseen") {
    const look = things.length > 6 ? "things fixed many" : "things fixed";
    return [h("ul", { class: look }, ...things.map((thing) => row(thing, null, drawn)))];
  }
  return [
    h("ul", { class: "things" }, ...things.map((thing) => row(thing, actions, drawn))),
    first && !drawn && story(),
    newName(actions, drawn, first),
  ];
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
 * @param {Actions | null} actions null for things that stay as they are
 * @param {boolean} drawn
 */
function row(thing, actions, drawn) {
  return h(
    "li",
    { class: "thing class", vars: { place: thing.colour }, "data-name": thing.name },
    h(
      "div",
      { class: "line" },
      actions ? nameField(thing, actions) : fixedName(thing),
      h("span", { class: "figure" }),
      actions && h(
        "button",
        {
          class: "teach",
          "data-key": `teach ${thing.name}`,
          "aria-label": `Teach the drawing as ${thing.name}`,
          "aria-disabled": drawn ? "false" : "true",
          onclick: () => drawn && actions.teach(thing.name),
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

/** @param {Thing} thing */
function fixedName({ name, note }) {
  return h("span", {}, h("span", { class: "name" }, name), h("span", { class: "note" }, ` ${note ?? ""}`));
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
      const better = field.value.trim();
      field.value = thing.name;
      setTimeout(() => actions.rename(thing.name, better)); // once the focus is where Tab brings it
    },
  });
}

/** @param {Thing} thing @param {number} place @param {Actions | null} actions */
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
  return h("span", { class: "more" }, h("label", { class: "thumb plus", title: "Add pictures" }, files, "+"), remove);
}

/**
 * The field for a new name; what was begun to be written there stays.
 * @param {Actions} actions
 * @param {boolean} drawn
 * @param {boolean} first
 */
function newName(actions, drawn, first) {
  const before = /** @type {HTMLInputElement | null} */ (document.getElementById("new-name"));
  const field = /** @type {HTMLInputElement} */ (
    h("input", {
      id: "new-name",
      value: before?.value,
      placeholder: first ? (drawn ? "Its name" : "Or a name, and pictures of it") : "Something new",
      maxlength: 60,
      autocomplete: "off",
      "aria-label": "Name of something new",
      "data-key": "new name",
    })
  );
  const onsubmit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const name = field.value.trim();
    field.value = "";
    if (name) actions.teach(name);
    else field.focus();
  };
  const look = drawn && first ? "main" : "soft";
  return h("form", { class: "new", onsubmit }, field, h("button", { class: look, "data-key": "new" }, drawn ? "Teach" : "Add"));
}

/** What happens here, in pictures, for who has just come. */
function story() {
  const picture = (/** @type {Point[][]} */ strokes) => thumbnail({ strokes }, "");
  const three = (/** @type {(which: number) => Point[][]} */ drawn) => [0, 1, 2].map((i) => picture(drawn(i)));
  return h(
    "ol",
    { class: "story" },
    h("li", { class: "class", vars: { place: 0 } }, h("span", {}, ...three(squiggle)), "Draw a few. Name them."),
    h("li", { class: "class", vars: { place: 1 } }, h("span", {}, ...three(star)), "Then a few of something else."),
    h("li", { class: "class", vars: { place: 1 } }, h("span", {}, picture(star(-1))),
      h("p", {}, "It names the next: ", h("b", {}, "star"), " 98\u00a0%")),
  );
}
