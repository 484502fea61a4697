/** What lies over the map: zoom buttons, the legend, and a word when the graphics card is missing. */

import type { App } from "../app";
import { byId, count, h, icon } from "../dom";
import { shownUnits } from "../map/colours";
import type { MapView } from "../map/map";
import { named, sameShown, shown, subjectOf, told, type Shown } from "../map/shown";
import { gradient } from "../palette";
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
  const lasso = h("button", {
    type: "button", class: "round", "aria-pressed": "false", title: "Select units: draw round them (L, or Shift and drag)",
    "aria-label": "Select units by drawing round them", click: () => map.lasso.arm(!map.lasso.armed),
  }, icon("lasso"));
  map.lasso.onArmed = () => lasso.setAttribute("aria-pressed", String(map.lasso.armed));
  stage.append(
    h("div", { class: "over zoom", role: "group", "aria-label": "Zoom" },
      button("plus", "Zoom in (+)", () => map.zoom(1)),
      button("minus", "Zoom out (−)", () => map.zoom(-1)),
      button("reset", "See all (0)", () => map.reset()),
      pictures, lasso),
    legend(app),
  );
}

function legend(app: App): HTMLElement {
  const box = h("div", { class: "over legend" });
  app.watch((route, before) => {
    if (route !== before && sameShown(route, before) && route.layers === before.layers) return;
    const units = count(shownUnits(app).length, "unit");
    shown(app, route).then((numbers) => {
      if (app.route !== route) return;
      box.replaceChildren(...(numbers ? ofNumbers(app, numbers, units) : ofLayers(app, units)));
    }, (error: Error) => box.replaceChildren(h("p", {}, error.message)));
  });
  return box;
}

function ofLayers(app: App, units: string): HTMLElement[] {
  const { route } = app;
  return [h("p", {}, h("b", {}, units), " coloured by layer"),
    h("ul", { class: "chips small" }, ...app.atlas.layers.map((layer, k) => (!route.layers || route.layers.has(k)) &&
      h("li", {}, h("a", { class: "chip", href: app.link({ place: { at: "layer", layer: k } }) },
        swatch(app, k), h("span", {}, layer.name)))))];
}

function ofNumbers(app: App, numbers: Shown, units: string): HTMLElement[] {
  const { route } = app;
  const subject = subjectOf(route);
  const away = h("button", {
    type: "button", class: "round", title: "Colour by layer", "aria-label": "Colour by layer",
    click: () => app.go({ stimulus: null, label: null, minus: null, colour: "", film: false }),
  }, icon("close"));
  const name = subject ? named(app, subject) : route.colour;
  const words = subject ? (route.minus ? "difference of responses, " : subject && "label" in subject ? "mean response to " : "response to ") : "";
  const head = h("div", { class: "legend-head" },
    route.stimulus !== null && h("a", { href: app.link({ place: { at: "stimulus", stimulus: route.stimulus } }), "aria-label": `Open ${name}`, title: "Open its page" },
      stimulusPicture(app, route.stimulus)),
    h("p", {}, `${units}, ${words}`, h("b", {}, name), route.minus && " minus ", route.minus && h("b", {}, named(app, route.minus))), away);
  if (numbers.kind === "patch") {
    return [head, h("p", { class: "note" }, `${app.atlas.clusters} patches: basins of the density of units on the map, numbered by size. They describe the map, not the network.`)];
  }
  const diverging = numbers.kind === "difference";
  const scale = h("div", { class: "gradient", role: "img",
    "aria-label": `Colour scale from ${told(numbers, numbers.low)}, ${diverging ? "blue" : "violet"}, to ${told(numbers, numbers.high)}, ${diverging ? "red" : "yellow"}` });
  scale.style.backgroundImage = gradient(diverging);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => numbers.low + share * (numbers.high - numbers.low));
  return [head, scale,
    h("div", { class: "ticks" }, ...ticks.map((tick) => h("span", {}, subject && !diverging ? String(tick) : told(numbers, tick)))),
    ...(route.stimulus === null || route.minus ? [] : strip(app, route.stimulus)),
    h("p", { class: "note" }, subject ? `${diverging ? "Of responses between 0 and 1:" : "0 and 1 are"} each unit's 1st and 99th percentile over all stimuli`
      : "The ends are the 1st and 99th percentile of all units")];
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
      }, unitPicture(app, unit), h("span", { class: "name" }, swatch(app, app.atlas.layerOf[unit]), h("bdi", {}, address)));
    }))];
}
