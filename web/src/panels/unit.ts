/** The card of a unit: what it wants to see, how surely, what excites it most, and who fires with it. */

import type { App } from "../app";
import type { Detail } from "../data";
import { byId, h, icon, number } from "../dom";
import { curve } from "./curve";
import { stimulusPicture, swatch, unitPicture, why } from "./common";

export function unitCard(app: App, showOnMap: (unit: number) => void): void {
  const card = byId("card");
  let shown: number | null = null;
  app.watch((route) => {
    const { unit } = app;
    document.body.classList.toggle("with-card", unit !== null);
    card.hidden = unit === null;
    if (unit === null) {
      shown = null;
      return;
    }
    if (unit === shown) {
      card.querySelectorAll<HTMLElement>(".best button").forEach((button) => {
        button.setAttribute("aria-pressed", String(Number(button.dataset["stimulus"]) === route.stimulus));
      });
      return;
    }
    shown = unit;
    const more = h("div", { class: "more", "aria-busy": "true" });
    card.replaceChildren(...top(app, unit, showOnMap), more);
    card.scrollTop = 0;
    app.atlas.detail(unit).then(
      (detail) => {
        if (shown !== unit) return;
        more.removeAttribute("aria-busy");
        more.replaceChildren(...lower(app, unit, detail));
      },
      (error: Error) => {
        if (shown === unit) more.replaceChildren(h("p", { class: "note" }, error.message));
      },
    );
  });
}

function top(app: App, unit: number, showOnMap: (unit: number) => void): HTMLElement[] {
  const { atlas } = app;
  const layer = atlas.layers[atlas.layerOf[unit]];
  const step = (by: number, name: "left" | "right", words: string): HTMLElement => h("button", {
    type: "button", class: "round", title: words, "aria-label": words, click: () => app.stepUnit(by),
  }, icon(name));
  const bar = h("div", { class: "card-bar" },
    step(-1, "left", "Previous unit (left arrow)"),
    step(1, "right", "Next unit (right arrow)"),
    h("span", { class: "grow" }),
    atlas.placed(unit) && h("button", {
      type: "button", class: "round", title: "Show on the map", "aria-label": "Show on the map",
      click: () => showOnMap(unit),
    }, icon("target")),
    h("button", {
      type: "button", class: "round", title: "Close (Esc)", "aria-label": "Close the card", click: () => app.closeUnit(),
    }, icon("close")),
  );
  const title = h("h2", { id: "unit-title", tabindex: "-1" },
    h("span", { class: "address" }, atlas.address(unit)));
  const from = h("p", { class: "from" }, swatch(app, atlas.layerOf[unit]),
    h("a", { href: app.link({ place: { at: "layer", layer: atlas.layerOf[unit] } }) }, layer.name),
    ` · ${layer.kind}`);
  const picture = h("figure", { class: "portrait" }, unitPicture(app, unit));
  const parts: HTMLElement[] = [bar, title, from, picture];
  const status = atlas.status(unit);
  if (status) {
    const reason = atlas.reason(unit);
    parts.push(h("p", { class: "status", "data-status": status },
      h("strong", {}, status[0].toUpperCase() + status.slice(1)), reason ? `: ${reason}` : ` — ${why(app, unit)}`));
  }
  return parts;
}

function lower(app: App, unit: number, detail: Detail): HTMLElement[] {
  const { atlas } = app;
  const layer = atlas.layers[atlas.layerOf[unit]];
  const parts: HTMLElement[] = [];
  const facts: [string, string][] = [];
  if (atlas.isPictured(unit)) facts.push(["Score reached", number(atlas.score[unit])]);
  if (detail.best.length) facts.push(["Best stimulus", number(detail.best[0].value)]);
  if (Number.isFinite(detail.low)) facts.push(["Usual responses", `${number(detail.low)} to ${number(detail.high)}`]);
  facts.push(["Layer shape", layer.shape.join(" × ") || "one number"]);
  if (layer.field !== null) facts.push(["Receptive field", `${layer.field} px`]);
  parts.push(h("dl", { class: "facts" }, ...facts.flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)])));
  const drawing = detail.curve && curve(detail.curve);
  if (drawing) parts.push(h("section", {}, h("h3", {}, "How the score grew"), wrap(drawing)));
  if (detail.best.length) parts.push(best(app, detail));
  parts.push(neighbours(app, detail));
  return parts;
}

function best(app: App, detail: Detail): HTMLElement {
  const { atlas } = app;
  return h("section", { class: "best" },
    h("h3", {}, "Best stimuli", h("span", { class: "note" }, "click to colour the map")),
    h("div", { class: "row" }, ...detail.best.map(({ stimulus, value }) => {
      const { name, label } = atlas.stimuli[stimulus];
      return h("button", {
        type: "button", class: "tile", title: label ? `${name} (${label})` : name, "data-stimulus": stimulus,
        "aria-label": `${name}, response ${number(value)}`, "aria-pressed": String(app.route.stimulus === stimulus),
        click: () => app.go({ stimulus: app.route.stimulus === stimulus ? null : stimulus }),
      }, stimulusPicture(app, stimulus), h("span", { class: "value" }, number(value)));
    })));
}

function neighbours(app: App, detail: Detail): HTMLElement {
  const { atlas } = app;
  const section = h("section", { class: "near" }, h("h3", {}, "Fires together with", h("span", { class: "note" }, "correlation")));
  if (!detail.neighbours.length) {
    section.append(h("p", { class: "note" }, "No neighbours: its responses do not vary."));
    return section;
  }
  section.append(h("div", { class: "row" }, ...detail.neighbours.map(({ unit, correlation }) => {
    const address = atlas.address(unit);
    return h("a", {
      class: "tile", href: app.link({ place: { at: "unit", unit } }), title: address,
      "aria-label": `${address}, correlation ${number(correlation)}`,
    }, likeness(app, unit), h("span", { class: "name" }, swatch(app, atlas.layerOf[unit]),
      h("bdi", {}, atlas.layers[atlas.layerOf[unit]].name), h("span", {}, tail(address))),
    h("span", { class: "value" }, correlation.toFixed(2).replace("-", "−")));
  })));
  return section;
}

/** The picture of a unit, or in a dashed frame the stimulus that it likes best. */
function likeness(app: App, unit: number): HTMLElement {
  const picture = unitPicture(app, unit, false);
  if (app.atlas.isPictured(unit)) return picture;
  app.atlas.detail(unit).then(({ best }) => {
    if (!best.length) return;
    const image = stimulusPicture(app, best[0].stimulus);
    image.className = "stand-in";
    image.title = `Not rendered; its best stimulus is ${app.atlas.stimuli[best[0].stimulus].name}`;
    picture.replaceWith(image);
  }, () => undefined);
  return picture;
}

/** The part of an address that tells units of one layer apart; it is never cut off. */
function tail(address: string): string {
  return address.slice(address.lastIndexOf(":"));
}

function wrap(drawing: SVGElement): HTMLElement {
  const figure = h("figure", {});
  figure.append(drawing);
  return figure;
}
