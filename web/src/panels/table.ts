/** The table of units: all that the map shows, for readers, keyboards and machines that have no use for a canvas. */

import type { App } from "../app";
import { byId, count, h, number } from "../dom";
import { named, shown, subjectOf, told, type Shown } from "../map/shown";
import { swatch } from "./common";

const PAGE = 100;

export function tableView(app: App, forced: () => boolean): { refresh: () => void } {
  const view = byId("table");
  let page = 0;
  let key = "";

  const show = async (): Promise<void> => {
    const { atlas, route } = app;
    const wanted = app.background.at === "map" && (route.list || forced());
    view.hidden = !wanted;
    if (!wanted) return;
    const units: number[] = [];
    for (let unit = 0; unit < atlas.count; unit++) {
      if (!route.layers || route.layers.has(atlas.layerOf[unit])) units.push(unit);
    }
    const numbers = await shown(app, route).catch(() => null);
    if (app.route !== route) return;
    const now = JSON.stringify([route.stimulus, route.label, route.minus, route.colour, [...(route.layers ?? [])]]);
    if (now !== key) page = 0;
    key = now;
    if (numbers) units.sort((a, b) => rank(numbers, b) - rank(numbers, a) || a - b);
    const pages = Math.max(1, Math.ceil(units.length / PAGE));
    const turn = (step: number, words: string): HTMLElement => h("button", {
      type: "button", class: "button", disabled: page + step < 0 || page + step >= pages,
      click: () => {
        page += step;
        void show();
      },
    }, words);
    const subject = subjectOf(route);
    const what = subject ? `${route.minus ? "greatest difference, " : "strongest response to "}${named(app, subject)}${route.minus ? ` minus ${named(app, route.minus)},` : ""}` : `greatest ${route.colour.toLowerCase()}`;
    const heading = subject || !numbers ? (route.minus ? "Difference" : "Response") : route.colour === "patches" ? "Patch" : route.colour;
    view.replaceChildren(
      h("div", { class: "controls" },
        h("p", { class: "note" }, `${count(units.length, "unit")}${numbers ? `, ${what} first` : ""}`),
        h("span", { class: "grow" }),
        turn(-1, "Previous"), h("span", {}, `Page ${page + 1} of ${pages}`), turn(1, "Next")),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Units" },
        h("table", {},
          h("thead", {}, h("tr", {}, ...["Unit", "Layer", "Across", "Up", "Score", heading, "Status"].map(
            (words) => h("th", { scope: "col" }, words)))),
          h("tbody", {}, ...units.slice(page * PAGE, (page + 1) * PAGE).map((unit) => row(app, unit, numbers))))),
    );
  };

  app.watch(() => void show());
  return { refresh: () => void show() };
}

function row(app: App, unit: number, numbers: Shown | null): HTMLElement {
  const { atlas } = app;
  const place = (axis: number): string => atlas.placed(unit) ? atlas.positions[2 * unit + axis].toFixed(2).replace("-", "−") : "–";
  const response = numbers ? told(numbers, numbers.values[unit]) : "–";
  return h("tr", {},
    h("th", { scope: "row" }, h("a", { href: app.link({ place: { at: "unit", unit } }) }, atlas.address(unit))),
    h("td", {}, swatch(app, atlas.layerOf[unit]), atlas.layers[atlas.layerOf[unit]].name),
    h("td", { class: "n" }, place(0)), h("td", { class: "n" }, place(1)),
    h("td", { class: "n" }, Number.isFinite(atlas.score[unit]) ? number(atlas.score[unit]) : "–"),
    h("td", { class: "n" }, response),
    h("td", {}, atlas.status(unit) || (atlas.isPictured(unit) ? "rendered" : "not rendered")));
}

function rank(numbers: Shown, unit: number): number {
  const value = numbers.values[unit];
  return Number.isFinite(value) ? value : -Infinity;
}
