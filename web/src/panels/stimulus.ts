/** The page of one stimulus: what it is, and in each layer the units that it drives farthest above their mean. */

import type { App } from "../app";
import { byId, h, icon } from "../dom";
import { likeness, stimulusPicture, swatch } from "./common";

export function stimulusView(app: App): void {
  const view = byId("stimulus");
  let shown = -1;
  app.watch(() => {
    const place = app.background;
    view.hidden = place.at !== "stimulus";
    if (place.at !== "stimulus") return;
    if (place.stimulus === shown) return;
    shown = place.stimulus;
    const { stimulus } = place;
    const layers = h("div", { class: "excited", "aria-busy": "true" });
    view.replaceChildren(head(app, stimulus), layers);
    view.scrollTop = 0;
    app.atlas.strongest(stimulus).then((strongest) => {
      if (shown !== stimulus) return;
      layers.removeAttribute("aria-busy");
      layers.replaceChildren(...strongest.map((units, layer) => row(app, layer, units)));
    }, (error: Error) => layers.replaceChildren(h("p", { class: "note" }, error.message)));
  });
}

function head(app: App, stimulus: number): HTMLElement {
  const { name, label } = app.atlas.stimuli[stimulus];
  const step = (by: number, which: "left" | "right", words: string): HTMLElement => h("button", {
    type: "button", class: "round", title: words, "aria-label": words, disabled: !app.atlas.stimuli[stimulus + by],
    click: () => app.go({ place: { at: "stimulus", stimulus: stimulus + by } }),
  }, icon(which));
  return h("div", { class: "layer-head" },
    h("div", { class: "portrait small" }, stimulusPicture(app, stimulus)),
    h("div", { class: "grow" },
      h("p", { class: "crumbs" }, h("a", { href: app.link({ place: { at: "map" }, list: false }) }, "Map"), " / Stimulus ",
        `${stimulus + 1} of ${app.atlas.stimuli.length}`),
      h("h2", {}, h("span", { class: "address" }, name)),
      h("p", { class: "note" }, label ? `class ${label}` : "no class"),
      h("p", {}, h("button", { type: "button", class: "button", click: () => app.show({ stimulus }) }, "Show its map"),
        " ", label && h("button", { type: "button", class: "button", click: () => app.show({ label }) }, `Show the mean map of ${label}`))),
    h("div", { class: "steps" }, step(-1, "left", "Previous stimulus"), step(1, "right", "Next stimulus")));
}

function row(app: App, layer: number, units: { unit: number; score: number }[]): HTMLElement {
  const { atlas } = app;
  return h("section", { "aria-label": `Layer ${atlas.layers[layer].name}` },
    h("h3", {}, swatch(app, layer), h("a", { href: app.link({ place: { at: "layer", layer } }) }, atlas.layers[layer].name),
      h("span", { class: "note" }, " standard deviations above the unit's mean")),
    units.length ? h("div", { class: "row" }, ...units.map(({ unit, score }) => {
      const address = atlas.address(unit);
      const words = Number.isFinite(score) ? `${score < 0 ? "−" : "+"}${Math.abs(score).toFixed(1)}` : "";
      return h("a", { class: "tile", href: app.link({ place: { at: "unit", unit } }), title: address, "aria-label": `${address} ${words}` },
        likeness(app, unit), h("span", { class: "name" }, String(atlas.indexOf[unit])), h("span", { class: "value" }, words));
    })) : h("p", { class: "note" }, "No unit of this layer varies."));
}
