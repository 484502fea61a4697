/** The units that the reader chose on the map: a grid of their pictures, and the way out to other programs. */

import type { App } from "../app";
import { byId, count, h, icon } from "../dom";
import { likeness, swatch } from "./common";
import { csv, record, save } from "./records";

const PAGE = 120;

export function selectionPanel(app: App): void {
  const panel = byId("selection");
  const show = (): void => {
    const units = app.selection;
    panel.hidden = !units.length || app.unit !== null;
    document.body.classList.toggle("with-selection", !panel.hidden);
    if (panel.hidden) return;
    const grid = h("div", { class: "cells small" });
    const words = h("span", { class: "note", role: "status" });
    const json = async (): Promise<void> => {
      const records: unknown[] = [];
      for (const unit of units) {
        records.push(await record(app, unit));
        if (records.length % 50 === 0) words.textContent = `${records.length} of ${units.length} read`;
      }
      words.textContent = "";
      save(`${app.atlas.title}-units.json`, `${JSON.stringify(records, null, 1)}\n`, "application/json");
    };
    panel.replaceChildren(
      h("div", { class: "card-bar" }, h("h2", {}, count(units.length, "unit"), " selected"), h("span", { class: "grow" }),
        h("button", { type: "button", class: "round", title: "Forget the selection (Esc)", "aria-label": "Forget the selection",
          click: () => app.select([]) }, icon("close"))),
      h("div", { class: "controls" },
        h("button", { type: "button", class: "button", click: () => void csv(app, units).then((table) => save(`${app.atlas.title}-units.csv`, table, "text/csv")) }, "CSV"),
        h("button", { type: "button", class: "button", click: () => void json() }, "JSON"), words),
      h("p", { class: "note" }, layersOf(app, units)), grid);
    fill(app, grid, units, 0);
  };
  app.onSelection(show);
  app.watch((route, before) => {
    if (route.place !== before.place) show();
  });
}

function layersOf(app: App, units: readonly number[]): string {
  const counts = new Map<string, number>();
  for (const unit of units) {
    const { name } = app.atlas.layers[app.atlas.layerOf[unit]];
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  const rest = sorted.slice(6).reduce((sum, [, number]) => sum + number, 0);
  return [...sorted.slice(0, 6).map(([name, number]) => `${name} ${number}`), ...(rest ? [`others ${rest}`] : [])].join(" · ");
}

function fill(app: App, grid: HTMLElement, units: readonly number[], start: number): void {
  grid.append(...units.slice(start, start + PAGE).map((unit) => h("a", {
    class: "cell", href: app.link({ place: { at: "unit", unit } }), title: app.atlas.address(unit), "aria-label": app.atlas.address(unit),
  }, likeness(app, unit), h("span", { class: "under" }, swatch(app, app.atlas.layerOf[unit]), h("b", {}, String(app.atlas.indexOf[unit]))))));
  if (start + PAGE >= units.length) return;
  const more = h("button", { type: "button", class: "button", click: () => {
    more.remove();
    fill(app, grid, units, start + PAGE);
  } }, `${units.length - start - PAGE} more`);
  grid.append(more);
}
