/** What the atlas was made from, and how to use this page. */

import type { App } from "../app";
import { byId, count, h, icon } from "../dom";

const KEYS: [string, string][] = [
  ["/", "search"],
  ["← →", "previous and next unit"],
  ["[ ]", "previous and next layer"],
  ["+ − 0", "zoom in, zoom out, see all (on the map)"],
  ["L", "draw round units on the map to select them (or Shift and drag)"],
  ["V", "select all units in view"],
  ["J", "the open unit's card as JSON"],
  ["S", "put the open unit into the selection, or take it out"],
  [", .", "previous and next stimulus"],
  ["Space", "run the film strip, or halt it"],
  ["Esc", "close what is open"],
  ["?", "this help"],
];

const WORDS: [string, string][] = [
  ["Unit", "one channel of a layer: layer:number, such as blocks.4:3"],
  ["Rendered", "a feature visualization was made of the unit; of the others the best stimulus is shown, in a dashed frame"],
  ["Score", "how strongly its own picture drives the unit, in the unit's measure"],
  ["Usual responses", "from the 1st to the 99th percentile over all stimuli"],
  ["Lifetime sparseness", "0: it responds to all stimuli alike; 1: to a single one"],
  ["Class selectivity", "the share of its variance that lies between classes"],
  ["Patch", "a dense part of the map, with thin ground around it"],
];

export function openFacts(app: App): void {
  const { atlas } = app;
  const rows: [string, string][] = [
    ["Units", count(atlas.count, "unit")],
    ["Layers", count(atlas.layers.length, "layer")],
    ["Pictures", count(atlas.pictured.length, "feature visualization")],
    ["Stimuli", String(atlas.stimuli.length)],
    ...atlas.facts,
  ];
  show("facts", atlas.title,
    h("p", { class: "note" }, "What this atlas was made from. Every number on the page follows from these."),
    h("dl", { class: "provenance" }, ...rows.flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)])));
}

export function openHelp(): void {
  show("help", "How to read this page",
    h("p", {}, "Each dot is a unit of the network. Units that lie together respond to the same stimuli. Zoom in, and "
      + "dots become their feature visualizations: pictures optimised to excite the unit as much as possible."),
    h("p", {}, "Choose a stimulus to colour the map by the response to it: each unit's response is scaled from its "
      + "1st percentile over all stimuli (0) to its 99th (1)."),
    h("dl", { class: "words" }, ...WORDS.flatMap(([word, words]) => [h("dt", {}, word), h("dd", {}, words)])),
    h("dl", { class: "keys" }, ...KEYS.flatMap(([keys, words]) => [
      h("dt", {}, ...keys.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, words)])));
}

/** Close the dialog that is open, if any; tell whether there was one. */
export function closeDialog(): boolean {
  const open = document.querySelector<HTMLDialogElement>("dialog[open]");
  open?.close();
  return open !== null;
}

export function show(id: "facts" | "help" | "twin", title: string, ...children: HTMLElement[]): void {
  const dialog = byId(id) as HTMLDialogElement;
  dialog.replaceChildren(
    h("div", { class: "dialog-head" }, h("h2", {}, title),
      h("button", { type: "button", class: "round", "aria-label": "Close", click: () => dialog.close() }, icon("close"))),
    h("div", { class: "dialog-body" }, ...children));
  dialog.onclick = (event) => {
    if (event.target === dialog) dialog.close();
  };
  if (!dialog.open) dialog.showModal();
}
