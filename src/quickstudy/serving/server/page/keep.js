/** Keeps what was taught as a model of the server, and tells how to use it. */

import { keep as put } from "./api.js";
import { fill, h } from "./dom.js";
import { called } from "./learners.js";
import { chosen } from "./state.js";
import { whenChanged } from "./store.js";

/** @typedef {import("./state.js").State} State */

/**
 * @param {HTMLElement} element
 * @returns {(state: State) => void}
 */
export function keep(element) {
  return whenChanged(
    (state) => [state.mode, state.board.things, state.learner, state.learners],
    (state) => {
      const taught = state.board.things.filter((thing) => thing.examples.length > 0);
      const learner = chosen(state);
      element.hidden = state.mode !== "draw" || taught.length < 2;
      if (learner) fill(element, ...offer(learner, called(learner, state.learners), taught));
    },
  );
}

/**
 * @param {import("./api.js").Learner} learner
 * @param {string} name
 * @param {import("./board.js").Thing[]} taught
 */
function offer(learner, name, taught) {
  const result = h("div", { class: "result", role: "status" });
  const save = async (/** @type {string} */ model) => {
    try {
      const replaced = await put(model, learner, taught);
      const said = replaced && h("p", {}, `The model ${model} was there, and was replaced.`);
      fill(result, said, ...uses(model));
    } catch (error) {
      fill(result, h("p", {}, /** @type {Error} */ (error).message));
    }
  };
  const lead = `What was taught becomes a model that programs can ask. Learner: ${name}.`;
  return [h("h2", {}, "Keep it"), h("p", { class: "lead" }, lead), form(save), result];
}

/** The field for the name keeps what is in it. @param {(name: string) => void} save */
function form(save) {
  const before = /** @type {HTMLInputElement | null} */ (document.querySelector('[data-key="model"]'));
  const field = /** @type {HTMLInputElement} */ (
    h("input", {
      value: before?.value ?? "mine",
      maxlength: 60,
      autocomplete: "off",
      "aria-label": "Name of the model",
      "data-key": "model",
    })
  );
  return h(
    "form",
    {
      class: "new",
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        if (field.value.trim()) save(field.value.trim());
      },
    },
    field,
    h("button", { class: "main", "data-key": "save" }, "Keep as a model"),
  );
}

/** How to use a model that the server has. @param {string} name */
function uses(name) {
  const model = new URL(`v1/models/${encodeURIComponent(name)}`, location.href).href;
  const file = `${name}.qs`;
  const opened = 'files={"file": open("picture.png", "rb")}';
  return [
    h("p", {}, h("a", { href: `${model}/file`, download: file }, `Download ${file}`), " and use it without the server:"),
    line("command line", `quickstudy predict ${file} picture.png`),
    line("Python", `quickstudy.load("${file}").predict(["picture.png"])`),
    h("p", {}, "Or ask the server, which has the model as long as it runs:"),
    line("curl", `curl -F file=@picture.png ${model}/predict`),
    line("Python", `requests.post("${model}/predict", ${opened}).json()`),
  ];
}

/** @param {string} where @param {string} command */
function line(where, command) {
  // Browsers have a clipboard for pages of this machine and over https: alone.
  const copies = navigator.clipboard !== undefined && copy(where, command);
  return h("div", { class: "command" }, h("span", { class: "note" }, where), copies, h("code", {}, command));
}

/** @param {string} where @param {string} command */
function copy(where, command) {
  const button = h("button", {
    class: "quiet",
    "aria-label": `Copy the line for ${where}`,
    onclick: async () => {
      const said = await navigator.clipboard.writeText(command).then(() => "Copied", () => "Not copied");
      button.textContent = said;
      button.setAttribute("aria-label", `${said}: the line for ${where}`);
    },
  }, "Copy");
  return button;
}
