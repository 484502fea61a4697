/** On the card of a unit, under its picture: the picture that lowers it most, and others that raise it. */

import type { App } from "../app";
import { h, number } from "../dom";
import { late } from "./common";

export function faces(app: App, unit: number): HTMLElement[] {
  return [lowering(app, unit), others(app, unit)].filter((section) => section !== null);
}

function lowering(app: App, unit: number): HTMLElement | null {
  const { atlas } = app;
  const lowest = atlas.faces.lowest(unit);
  if (lowest === null) return null;
  const words = atlas.isPictured(unit) ? [h("dt", {}, "Response above"), h("dd", {}, number(atlas.score[unit]))] : [];
  return h("section", { class: "faces" }, h("h3", {}, "What lowers it most"),
    h("figure", { class: "lowering" },
      late(h("img", { alt: `What lowers ${atlas.address(unit)} most`, draggable: "false" }), () => atlas.faces.negative(unit)),
      h("figcaption", {}, h("dl", { class: "facts" }, h("dt", {}, "Response here"), h("dd", {}, number(lowest)), ...words))));
}

function others(app: App, unit: number): HTMLElement | null {
  const { atlas } = app;
  const count = atlas.faces.several(unit);
  if (!count) return null;
  const shown = atlas.faces.diverse(unit);
  const tiles = Array.from({ length: count }, (_, k) => {
    const value = h("span", { class: "value" }, "\u00a0"); // its line is there before the number is
    shown.then((all) => (value.textContent = number(all[k].score)), () => undefined);
    const picture = h("img", { alt: `Another picture that raises ${atlas.address(unit)}, ${k + 1} of ${count}`, draggable: "false" });
    return h("li", { class: "tile" }, late(picture, async () => (await shown)[k].picture), value);
  });
  return h("section", { class: "faces" },
    h("h3", {}, "Other faces of it", h("span", { class: "note" }, "made to differ; with its response")), h("ul", { class: "row" }, ...tiles));
}
