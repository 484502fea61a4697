/** The view of one layer: every rendered unit in a grid, in order of index, score or response. */

import type { App } from "../app";
import type { Layer } from "../data";
import { byId, count, h, icon, number } from "../dom";
import { named, shown, subjectOf, told, type Shown } from "../map/shown";
import { likeness, swatch } from "./common";
import { windowed, type Windowed } from "./windowed";

type Order = "index" | "score" | "number";

export function layerView(app: App): void {
  const view = byId("layer");
  let order: Order = "index";
  let blanks = false;
  let words = "";
  let key = "";

  const show = async (): Promise<void> => {
    const place = app.background;
    view.hidden = place.at !== "layer";
    if (place.at !== "layer") return;
    const { atlas, route } = app;
    const layer = atlas.layers[place.layer];
    const coloured = subjectOf(route) !== null || route.colour !== "";
    if (order === "number" && !coloured) order = "index";
    const now = JSON.stringify([place.layer, order, blanks, route.stimulus, route.label, route.minus, route.colour]);
    if (now === key) return mark();
    key = now;
    const numbers = await shown(app, route).catch(() => null);
    if (now !== key) return;
    const everything = blanks || layer.pictured === 0;
    const all = sorted(app, layer, order, numbers, everything);
    const grid = h("div", { class: "cells" });
    const found = h("p", { class: "note", role: "status" });
    window_?.stop();
    const narrow = (): void => {
      const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
      const units = wanted.length ? all.filter((unit) => wanted.every((word) => `${atlas.address(unit)} ${atlas.status(unit)}`.toLowerCase().includes(word))) : all;
      found.textContent = units.length === all.length ? "" : `${units.length} of ${all.length}`;
      window_?.stop();
      window_ = windowed(view, grid, units, (unit) => cell(app, unit, order === "score" ? null : numbers));
      if (!units.length) grid.replaceChildren(h("p", { class: "note" }, all.length ? "No unit of this layer has that in its address or status." : "This layer has no units in the atlas."));
      mark();
    };
    view.replaceChildren(head(app, place.layer), controls(layer, narrow, found), h("p", { class: "note" }, meaning(app, order)), grid);
    view.scrollTop = 0;
    narrow();
  };
  let window_: Windowed | null = null;

  const mark = (): void => {
    window_?.mark(app.unit);
  };

  const controls = (layer: Layer, narrow: () => void, found: HTMLElement): HTMLElement => {
    const choices: [Order, string][] = [["index", "Index"], ["score", "Score, highest first"]];
    const subject = subjectOf(app.route);
    if (subject) choices.push(["number", app.route.minus ? "Difference, highest first" : `Response to ${named(app, subject)}`]);
    else if (app.route.colour) choices.push(["number", app.route.colour === "patches" ? "Patch" : app.route.colour]);
    const select = h("select", {
      id: "order",
      change: () => {
        order = select.value as Order;
        if (order === "number") blanks = true; // the strongest may well be without a picture
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
      h("input", { type: "search", class: "narrow", placeholder: "Filter", "aria-label": "Filter units by address or status", value: words,
        autocomplete: "off", spellcheck: "false", input: (event: Event) => {
          words = (event.target as HTMLInputElement).value;
          narrow();
        } }),
      found,
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
      h("p", { class: "crumbs" }, h("a", { href: app.link({ place: { at: "map" }, list: false }) }, "Map"), " / Layer ",
        `${number + 1} of ${layers.length}`),
      h("h2", {}, swatch(app, number), h("span", { class: "address" }, layer.name)),
      h("p", { class: "note" }, facts.join(" · "))),
    h("div", { class: "steps" }, beside(-1, "left", "Previous layer ([)"), beside(1, "right", "Next layer (])")));
}

function sorted(app: App, layer: Layer, order: Order, numbers: Shown | null, blanks: boolean): number[] {
  const { atlas } = app;
  const units = layer.members.filter((unit) => blanks || atlas.isPictured(unit));
  const finite = (value: number): number => (Number.isFinite(value) ? value : -Infinity);
  const value = (unit: number): number => finite(order === "score" || !numbers ? atlas.score[unit] : numbers.values[unit]);
  if (order !== "index") units.sort((a, b) => value(b) - value(a) || atlas.indexOf[a] - atlas.indexOf[b]);
  return units;
}

/** What the numbers under the pictures are. */
function meaning(app: App, order: Order): string {
  const { route } = app;
  const subject = subjectOf(route);
  const dashed = "In a dashed frame: not rendered, the stimulus that drives it most.";
  if (order !== "score" && subject) {
    return `Numbers: ${route.minus ? "difference of the responses to" : "response to"} ${named(app, subject)}${route.minus ? ` and ${named(app, route.minus)}` : ""}, 0 and 1 at each unit's 1st and 99th percentile. ${dashed}`;
  }
  if (order !== "score" && route.colour) return `Numbers: ${route.colour.toLowerCase()}. ${dashed}`;
  return `Numbers: the score that the picture reached, in the unit's own measure. ${dashed}`;
}

function cell(app: App, unit: number, numbers: Shown | null): HTMLElement {
  const { atlas } = app;
  const score = atlas.score[unit];
  const value = numbers ? numbers.values[unit] : NaN;
  const words = numbers && Number.isFinite(value) ? told(numbers, value) : Number.isFinite(score) ? number(score) : atlas.status(unit);
  const share = numbers?.kind === "response" && Number.isFinite(value) ? value : null;
  return h("a", {
    class: "cell", href: app.link({ place: { at: "unit", unit } }), "data-unit": unit,
    title: Number.isFinite(score) ? `score ${number(score)}` : atlas.status(unit), "aria-current": app.unit === unit ? "true" : null,
  }, likeness(app, unit), h("span", { class: "under" }, h("b", {}, String(atlas.indexOf[unit])), h("span", {}, words)),
  share !== null && bar(share));
}

function bar(share: number): HTMLElement {
  const inner = h("span", {});
  inner.style.width = `${Math.round(100 * share)}%`;
  return h("span", { class: "bar", "aria-hidden": "true" }, inner);
}
