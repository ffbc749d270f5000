/** The playground: the state in the middle, views that show it, and actions that change it. */

import * as api from "./api.js";
import { askWheneverItChanges } from "./asker.js";
import * as board from "./board.js";
import { fill } from "./dom.js";
import { squiggle, star } from "./drawing.js";
import { evidence } from "./evidence.js";
import { keep } from "./keep.js";
import { learners, measured } from "./learners.js";
import * as pad from "./pad.js";
import { read } from "./pictures.js";
import { headline } from "./says.js";
import { allScores, examples, shown } from "./state.js";
import { Store, restore } from "./store.js";
import { taught } from "./things.js";
import { modes, tools } from "./tools.js";
import { deal } from "./unseen.js";

/** @typedef {import("./api.js").Drawing} Drawing */

const store = new Store();
const at = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Drawing on the pad: in place of the dealt query among unseen characters. */
function drawn(/** @type {pad.Drawn} */ { stroke, begun, ended, by }) {
  const { mode, unseen } = store.state;
  if (begun && document.activeElement instanceof HTMLElement) document.activeElement.blur();
  if (mode === "unseen") {
    const { query } = board.drawn({ things: [], query: unseen.own }, stroke, begun);
    if (unseen.deal) store.unseen({ own: query });
  } else if (begun) {
    store.board(board.drawn(store.state.board, stroke, true));
  } else {
    store.change({ board: board.drawn(store.state.board, stroke, false) });
  }
  // With a mouse, the first drawing is named at once; a phone would show its keyboard over the pad.
  const first = ended && mode === "draw" && store.state.board.things.length === 0;
  if (first && by === "mouse") at("new-name").focus({ preventScroll: true });
}

function undo() {
  const { mode, unseen } = store.state;
  if (mode === "draw") return store.undo();
  const strokes = unseen.own && "strokes" in unseen.own ? unseen.own.strokes.slice(0, -1) : [];
  store.unseen({ own: strokes.length ? { strokes } : null });
}

function clear() {
  if (store.state.mode === "unseen") store.unseen({ own: null });
  else store.board({ ...store.state.board, query: null });
}

/** Asks about a picture. */
async function ask(/** @type {File[]} */ [file]) {
  const [query] = await pictures([file]);
  if (!query) return;
  if (store.state.mode === "unseen") store.unseen({ own: query });
  else store.board({ ...store.state.board, query });
}

/** Whether all learners take ink on paper, and nothing else. */
function ofInk() {
  return store.state.learners.every((learner) => learner.takes.strokes);
}

/** Pictures from files; where one cannot be read, the headline says so. */
async function pictures(/** @type {File[]} */ files) {
  try {
    /** @type {Drawing[]} */
    const found = [];
    for (const file of files) found.push({ picture: await read(file, ofInk()) });
    return found;
  } catch (error) {
    store.change({ trouble: /** @type {Error} */ (error).message });
    return [];
  }
}

async function dealAnew(way = store.state.unseen.way, shot = store.state.unseen.shot) {
  const old = store.state.unseen;
  const before = way === old.way && shot === old.shot ? allScores(store.state) : {};
  store.unseen({ way, shot, before, deal: null, own: null });
  await orSay(async () => store.unseen({ deal: await deal(way, shot) }));
}

function moveOn(/** @type {number} */ queries) {
  const { deal } = store.state.unseen;
  if (deal) store.unseen({ deal: { ...deal, at: deal.at + queries } });
}

function toMode(/** @type {"draw" | "unseen"} */ mode) {
  store.change({ mode, answered: null, step: null, trouble: null });
  if (mode === "unseen" && !store.state.unseen.deal) dealAnew();
}

/** Leaves examples out, with all learners. */
async function measure() {
  const { things } = shown(store.state);
  store.change({ measured: { things, learnt: null } });
  /** @type {api.Learnt | null} */
  let learnt = null;
  await orSay(async () => {
    learnt = await api.learn(store.state.learners, examples(things), [], { measure: true });
  });
  if (store.state.measured?.things !== things) return;
  store.change({ measured: learnt && { things, learnt } });
  fill(at("live"), measured(store.state));
}

/** Does something with the server; where that fails, the headline says why. */
async function orSay(/** @type {() => Promise<void>} */ work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof api.Refused)) throw error;
    store.change({ trouble: error.message });
  }
}

/** Files that are dropped on a thing are examples of it; elsewhere it is asked about the first. */
async function dropped(/** @type {DragEvent} */ event) {
  event.preventDefault();
  const files = [...(event.dataTransfer?.files ?? [])];
  const thing = event.target instanceof Element ? event.target.closest("[data-name]") : null;
  const name = thing?.getAttribute("data-name");
  if (files.length === 0) return;
  if (name && store.state.mode === "draw") addFiles(name, files);
  else ask(files);
}

async function addFiles(/** @type {string} */ name, /** @type {File[]} */ files) {
  const found = await pictures(files);
  if (found.length) store.board(board.withExamples(store.state.board, name, found));
}

function suggestion() {
  const { things } = store.state.board;
  if (store.state.mode === "unseen" || things.length > 1) return null;
  return things.length === 0 ? squiggle() : star();
}

async function start() {
  const onBoard = (/** @type {(b: board.Board, ...more: any[]) => board.Board} */ change) =>
    (/** @type {any[]} */ ...more) => store.board(change(store.state.board, ...more));
  store.listen(headline(at("says"), at("hint"), at("live")));
  store.listen((state) => pad.show(at("pad"), shown(state).query, suggestion()));
  store.listen(modes(at("modes"), toMode));
  store.listen(tools(at("tools"), {
    undo,
    clear,
    ask,
    next: () => moveOn(1),
    all: () => moveOn((store.state.unseen.deal?.queries.length ?? 1) - 1 - (store.state.unseen.deal?.at ?? 0)),
    deal: dealAnew,
  }));
  store.listen(taught(at("taught"), {
    teach: onBoard(board.taught),
    rename: onBoard(board.renamed),
    remove: onBoard(board.withoutThing),
    removeExample: onBoard(board.withoutExample),
    addFiles,
  }));
  store.listen(learners(at("learners"), { choose: (learner) => store.change({ learner, step: null }), measure }));
  store.listen(evidence(at("evidence"), (step) => store.change({ step })));
  store.listen(keep(at("keep")));
  pad.listen(at("pad"), drawn);
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", dropped);
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) ask(files);
  });
  addEventListener("keydown", (event) => {
    const writes = event.target instanceof HTMLInputElement && event.target.type === "text";
    if (!writes && (event.ctrlKey || event.metaKey) && event.key === "z") undo();
  });
  restore(store);
  askWheneverItChanges(store);
  await orSay(async () => store.change({ learners: await api.learners() }));
  document.documentElement.toggleAttribute("data-ink", ofInk());
}

start();
