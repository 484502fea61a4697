/** The view of one layer: every rendered unit in a grid, in order of index, score or response. */

import type { App } from "../app";
import { MISSING, type Layer } from "../data";
import { byId, count, h, icon, number } from "../dom";
import { swatch, unitPicture } from "./common";

const PAGE = 240;
type Order = "index" | "score" | "response";

export function layerView(app: App): void {
  const view = byId("layer");
  let order: Order = "index";
  let blanks = false;
  let key = "";

  const show = async (): Promise<void> => {
    const place = app.background;
    view.hidden = place.at !== "layer";
    if (place.at !== "layer") return;
    const { atlas, route } = app;
    const layer = atlas.layers[place.layer];
    if (order === "response" && route.stimulus === null) order = "index";
    const now = [place.layer, order, blanks, route.stimulus, route.layers ? [...route.layers].join() : ""].join("|");
    if (now === key) return mark();
    key = now;
    const codes = route.stimulus === null ? null : await atlas.responses(route.stimulus).catch(() => null);
    if (now !== key) return;
    const units = sorted(app, layer, order, codes, blanks || layer.pictured === 0);
    const grid = h("div", { class: "cells" });
    view.replaceChildren(head(app, place.layer), controls(layer), grid);
    view.scrollTop = 0;
    fill(app, grid, units, codes, 0);
    mark();
  };

  const mark = (): void => {
    for (const cell of view.querySelectorAll<HTMLElement>(".cell")) {
      if (Number(cell.dataset["unit"]) === app.unit) cell.setAttribute("aria-current", "true");
      else cell.removeAttribute("aria-current");
    }
    view.querySelector(".cell[aria-current]")?.scrollIntoView({ block: "nearest" });
  };

  const controls = (layer: Layer): HTMLElement => {
    const choices: [Order, string][] = [["index", "Index"], ["score", "Score, highest first"]];
    if (app.route.stimulus !== null) {
      choices.push(["response", `Response to ${app.atlas.stimuli[app.route.stimulus].name}`]);
    }
    const select = h("select", {
      id: "order",
      change: () => {
        order = select.value as Order;
        void show();
      },
    }, ...choices.map(([value, words]) => h("option", { value, selected: value === order }, words)));
    const box = h("input", {
      type: "checkbox", checked: blanks,
      change: () => {
        blanks = box.checked;
        void show();
      },
    });
    const others = layer.members.length - layer.pictured;
    return h("div", { class: "controls" },
      h("label", { class: "field" }, "Sort by ", select),
      others > 0 && layer.pictured > 0 &&
        h("label", { class: "field" }, box, ` Also the ${count(others, "unit")} without a picture`));
  };

  app.watch(() => void show());
}

function head(app: App, number: number): HTMLElement {
  const { layers } = app.atlas;
  const layer = layers[number];
  const beside = (step: number, name: "left" | "right", words: string): HTMLElement => h("button", {
    type: "button", class: "round", title: words, "aria-label": words, disabled: !layers[number + step],
    click: () => app.openLayer(number + step),
  }, icon(name));
  const facts = [
    layer.kind,
    `${count(layer.members.length, "unit")}, ${layer.pictured} rendered`,
    layer.shape.length ? layer.shape.join(" × ") : "",
    layer.field === null ? "" : `receptive field ${layer.field} px`,
  ].filter(Boolean);
  return h("div", { class: "layer-head" },
    h("div", {},
      h("p", { class: "crumbs" }, h("a", { href: app.link({ place: { at: "map" } }) }, "Map"), " / Layer ",
        `${number + 1} of ${layers.length}`),
      h("h2", {}, swatch(app, number), h("span", { class: "address" }, layer.name)),
      h("p", { class: "note" }, facts.join(" · "))),
    h("div", { class: "steps" }, beside(-1, "left", "Previous layer ([)"), beside(1, "right", "Next layer (])")));
}

function sorted(app: App, layer: Layer, order: Order, codes: Uint8Array | null, blanks: boolean): number[] {
  const { atlas } = app;
  const units = layer.members.filter((unit) => blanks || atlas.isPictured(unit));
  const value = (unit: number): number => {
    if (order === "score") return Number.isFinite(atlas.score[unit]) ? atlas.score[unit] : -Infinity;
    return codes && codes[unit] !== MISSING ? codes[unit] : -1;
  };
  if (order !== "index") units.sort((a, b) => value(b) - value(a) || atlas.indexOf[a] - atlas.indexOf[b]);
  return units;
}

/** A page of cells, and the next when its end comes into view. */
function fill(app: App, grid: HTMLElement, units: number[], codes: Uint8Array | null, start: number): void {
  const { atlas } = app;
  grid.append(...units.slice(start, start + PAGE).map((unit) => {
    const score = atlas.score[unit];
    const share = codes && codes[unit] !== MISSING ? codes[unit] / (MISSING - 1) : null;
    const words = share !== null ? `${Math.round(100 * share)}%` : Number.isFinite(score) ? number(score) : atlas.status(unit);
    return h("a", {
      class: "cell", href: app.link({ place: { at: "unit", unit } }), "data-unit": unit,
      title: Number.isFinite(score) ? `score ${number(score)}` : atlas.status(unit),
    }, unitPicture(app, unit), h("span", { class: "under" }, h("b", {}, String(atlas.indexOf[unit])), h("span", {}, words)),
    share !== null && bar(share));
  }));
  if (!units.length) grid.append(h("p", { class: "note" }, "This layer has no units in the atlas."));
  if (start + PAGE >= units.length) return;
  const end = h("div", { class: "end" });
  grid.append(end);
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    end.remove();
    fill(app, grid, units, codes, start + PAGE);
  }, { rootMargin: "600px" }).observe(end);
}

function bar(share: number): HTMLElement {
  const inner = h("span", {});
  inner.style.width = `${Math.round(100 * share)}%`;
  return h("span", { class: "bar", "aria-hidden": "true" }, inner);
}
