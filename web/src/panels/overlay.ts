/** What lies over the map: zoom buttons, the legend, and a word when the graphics card is missing. */

import type { App } from "../app";
import { byId, count, h, icon } from "../dom";
import { shownUnits } from "../map/colours";
import type { MapView } from "../map/map";
import { responseGradient } from "../palette";
import { stimulusPicture, swatch, unitPicture } from "./common";

export function overlay(app: App, map: MapView): void {
  const stage = byId("stage");
  const button = (name: Parameters<typeof icon>[0], words: string, click: () => void): HTMLElement =>
    h("button", { type: "button", class: "round", title: words, "aria-label": words, click }, icon(name));
  const pictures = h("button", {
    type: "button", class: "round", "aria-pressed": "true", title: "Pictures when zoomed in",
    "aria-label": "Pictures when zoomed in",
    click: () => {
      map.showPictures = !map.showPictures;
      pictures.setAttribute("aria-pressed", String(map.showPictures));
      map.redraw();
    },
  }, icon("image"));
  stage.append(
    h("div", { class: "over zoom", role: "group", "aria-label": "Zoom" },
      button("plus", "Zoom in (+)", () => map.zoom(1)),
      button("minus", "Zoom out (−)", () => map.zoom(-1)),
      button("reset", "See all (0)", () => map.reset()),
      pictures),
    legend(app),
  );
}

function legend(app: App): HTMLElement {
  const box = h("div", { class: "over legend" });
  app.watch((route, before) => {
    if (route !== before && route.stimulus === before.stimulus && route.layers === before.layers) return;
    const shown = count(shownUnits(app).length, "unit");
    if (route.stimulus === null) {
      box.replaceChildren(h("p", {}, h("b", {}, shown), " coloured by layer"),
        h("ul", { class: "chips small" }, ...app.atlas.layers.map((layer, k) => (!route.layers || route.layers.has(k)) &&
          h("li", {}, h("a", { class: "chip", href: app.link({ place: { at: "layer", layer: k } }) },
            swatch(app, k), h("span", {}, layer.name))))));
      return;
    }
    const { name } = app.atlas.stimuli[route.stimulus];
    const scale = h("div", { class: "gradient", role: "img", "aria-label": "Colour scale from 0, violet, to 1, yellow" });
    scale.style.backgroundImage = responseGradient();
    box.replaceChildren(
      h("div", { class: "legend-head" }, stimulusPicture(app, route.stimulus),
        h("p", {}, `${shown}, response to `, h("b", {}, name)),
        h("button", {
          type: "button", class: "round", title: "Colour by layer", "aria-label": "Colour by layer",
          click: () => app.go({ stimulus: null }),
        }, icon("close"))),
      scale,
      h("div", { class: "ticks" }, ...["0", "0.25", "0.5", "0.75", "1"].map((tick) => h("span", {}, tick))),
      ...strip(app, route.stimulus),
      h("p", { class: "note" }, "0 and 1 are each unit's 1st and 99th percentile over all stimuli"),
    );
  });
  return box;
}

/** The pictures of the units that the stimulus excites most. */
function strip(app: App, stimulus: number): HTMLElement[] {
  const units = app.atlas.excited(stimulus);
  if (!units.length) return [];
  return [h("p", { class: "note" }, "Excites most, of the rendered units"), h("div", { class: "strip", role: "group", "aria-label": "Rendered units that it excites most" },
    ...units.map((unit) => {
      const address = app.atlas.address(unit);
      return h("a", {
        href: app.link({ place: { at: "unit", unit } }), title: `${address}: among the units that it excites most`,
        "aria-label": address,
      }, unitPicture(app, unit));
    }))];
}
