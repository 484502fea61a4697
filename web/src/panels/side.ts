/** The side panel: layers to show, the stimulus that colours the map, and the units that have no place on it. */

import type { App } from "../app";
import { byId, count, h, icon } from "../dom";
import { colouring } from "./colouring";
import { swatch } from "./common";
import { stimuli } from "./stimuli";

export function side(app: App): void {
  byId("side").append(layers(app), colouring(app), stimuli(app), ...tray(app));
}

function layers(app: App): HTMLElement {
  const { atlas } = app;
  const rows = atlas.layers.map((layer, number) => {
    const box = h("input", {
      type: "checkbox",
      "aria-label": `Show ${layer.name} on the map`,
      change: () => toggle(app, number),
    });
    const row = h(
      "li",
      {},
      h("label", { class: "layer-row" },
        box, swatch(app, number),
        h("span", { class: "name", title: layer.name }, layer.name),
        h("span", { class: "number" }, String(layer.members.length)),
      ),
      h("button", {
        type: "button", class: "quiet only", title: `Show ${layer.name} alone`,
        "aria-label": `Show ${layer.name} alone`, click: () => app.go({ layers: new Set([number]) }),
      }, "only"),
      link(app, number),
    );
    return { row, box };
  });
  const all = h("button", { type: "button", class: "quiet", click: () => app.go({ layers: null }) }, "Show all");
  app.watch((route) => {
    rows.forEach(({ row, box }, number) => {
      box.checked = !route.layers || route.layers.has(number);
      row.classList.toggle("off", !box.checked);
      row.querySelector("a")?.setAttribute("href", app.link({ place: { at: "layer", layer: number } }));
    });
    all.hidden = !route.layers;
  });
  return h("section", { class: "group", id: "layers" },
    h("div", { class: "head" }, h("h2", {}, "Layers"), all),
    h("ul", { class: "layers" }, ...rows.map(({ row }) => row)),
  );
}

function link(app: App, layer: number): HTMLElement {
  const { name, pictured } = app.atlas.layers[layer];
  const title = `${name}: ${count(pictured, "picture")}`;
  return h("a", { class: "quiet grid-link", href: "#/map", title, "aria-label": `Open ${title}` }, icon("grid"));
}

function toggle(app: App, layer: number): void {
  const { layers } = app.atlas;
  const shown = new Set(app.route.layers ?? layers.map((_, number) => number));
  if (!shown.delete(layer)) shown.add(layer);
  app.go({ layers: shown.size === layers.length ? null : shown });
}

/** Units without a place are set apart, never lost. */
function tray(app: App): HTMLElement[] {
  const { atlas } = app;
  const units = Array.from({ length: atlas.count }, (_, unit) => unit).filter((unit) => !atlas.placed(unit));
  if (!units.length) return [];
  const list = h("ul", { class: "chips" });
  const fill = (limit: number): void => {
    list.replaceChildren(...units.slice(0, limit).map((unit) => h("li", {},
      h("a", { class: "chip", href: app.link({ place: { at: "unit", unit } }), title: atlas.status(unit) },
        swatch(app, atlas.layerOf[unit]), h("span", {}, atlas.address(unit))))));
    if (units.length > limit) {
      const more = `${units.length - limit} more`;
      list.append(h("li", {}, h("button", { type: "button", class: "quiet", click: () => fill(limit + 500) }, more)));
    }
  };
  const details = h("details", { class: "group", id: "tray", toggle: () => details.open && fill(60) },
    h("summary", {}, h("h2", {}, "Not on the map"), h("span", { class: "number" }, String(units.length))),
    h("p", { class: "note" }, "These units gave one response to every stimulus, so nothing says which others they resemble."),
    list,
  );
  return [details];
}
