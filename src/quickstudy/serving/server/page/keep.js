/** Keeps what was taught as a model of the server, and tells how to use it. */

import { keep as put } from "./api.js";
import { fill, h } from "./dom.js";
import { called } from "./learners.js";
import { chosen, shown } from "./state.js";

/** @typedef {import("./state.js").State} State */

/**
 * @param {HTMLElement} element
 * @returns {(state: State) => void}
 */
export function keep(element) {
  /** @type {unknown[]} */
  let last = [];
  return (state) => {
    const learner = chosen(state);
    const { things } = shown(state);
    const taught = things.filter((thing) => thing.examples.length > 0);
    element.hidden = state.mode !== "draw" || taught.length < 2;
    if (element.hidden || !learner || (last[0] === things && last[1] === learner)) return;
    last = [things, learner];
    const result = h("div", { class: "result", role: "status" });
    const save = async (/** @type {string} */ name) => {
      try {
        await put(name, learner.name, taught);
        fill(result, ...uses(name));
      } catch (error) {
        fill(result, h("p", {}, /** @type {Error} */ (error).message));
      }
    };
    fill(
      element,
      h("h2", {}, "Keep it"),
      h("p", { class: "lead" }, `What was taught, with ${called(learner)}, becomes a model that programs can ask.`),
      form(save),
      result,
    );
  };
}

/** @param {(name: string) => void} save */
function form(save) {
  const field = /** @type {HTMLInputElement} */ (
    h("input", { value: "mine", maxlength: 60, autocomplete: "off", "aria-label": "Name of the model", "data-key": "model" })
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
  const address = new URL(`v1/models/${encodeURIComponent(name)}`, location.href).href;
  return [
    h("p", {}, `The server has the model “${name}” as long as it runs. Ask it:`),
    line("curl", `curl -F file=@picture.png ${address}/predict`),
  ];
}

/** @param {string} where @param {string} command */
function line(where, command) {
  const copy = h("button", {
    class: "quiet",
    "aria-label": `Copy the line for ${where}`,
    onclick: () => navigator.clipboard.writeText(command),
  }, "Copy");
  return h("div", { class: "command" }, h("span", { class: "note" }, where), h("code", {}, command), copy);
}
