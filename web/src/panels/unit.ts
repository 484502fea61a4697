/** The card of a unit: what it wants to see, how surely, what excites it most, and who fires with it. */

import type { App } from "../app";
import type { Detail } from "../data";
import { byId, h, icon, number } from "../dom";
import type { More } from "../live/live";
import { stimuliOf } from "./best";
import { classes, histogram, tuningCurve, valuesOf, varied } from "./charts";
import { curve } from "./curve";
import { faces } from "./faces";
import { likeness, swatch, unitPicture, why } from "./common";

/** `workshop` makes what a card has more where the network is at hand. */
export function unitCard(app: App, workshop: More, showOnMap: (unit: number) => void): void {
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
    card.replaceChildren(...top(app, unit, showOnMap), ...(workshop ? [workshop(unit)] : []), more);
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
  const at = layer.members.indexOf(unit);
  const step = (by: number, name: "left" | "right", words: string): HTMLElement => {
    const next = layer.members[at + by];
    const index = next === undefined ? "" : String(atlas.indexOf[next]);
    return h("button", { type: "button", class: "quiet step", title: words, "aria-label": words, click: () => app.stepUnit(by) },
      name === "left" ? icon(name) : index, name === "left" ? index : icon(name));
  };
  const bar = h("div", { class: "card-bar" },
    step(-1, "left", "Previous unit (left arrow)"),
    step(1, "right", "Next unit (right arrow)"),
    h("span", { class: "grow" }),
    h("button", {
      type: "button", class: "round", title: "This card as JSON (J)", "aria-label": "This card as JSON", click: () => app.go({ json: true }),
    }, icon("download")),
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
  const status = atlas.status(unit);
  const standIn = !atlas.isPictured(unit) && (!status || status === "waiting");
  const picture = h("figure", { class: "portrait" }, standIn ? likeness(app, unit) : unitPicture(app, unit),
    standIn && h("figcaption", { class: "note" }, `${why(app, unit)}: its best stimulus`));
  const parts: HTMLElement[] = [bar, title, from, picture];
  if (status) {
    const reason = atlas.reason(unit);
    parts.push(h("p", { class: "status", "data-status": status },
      h("strong", {}, status[0].toUpperCase() + status.slice(1)), reason ? `: ${reason}` : ` — ${why(app, unit)}`));
  }
  parts.push(...faces(app, unit));
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
  const list = h("dl", { class: "facts" });
  const write = (): void => list.replaceChildren(...facts.flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]));
  write();
  void Promise.all(atlas.numbers.map((name) => atlas.number(name))).then((columns) => {
    columns.forEach((column, k) => Number.isFinite(column[unit]) && facts.push([atlas.numbers[k], number(column[unit])]));
    write();
  }, () => undefined);
  const badge = trust(app, unit, detail);
  if (badge) parts.push(badge);
  parts.push(list);
  const drawing = detail.curve && curve(detail.curve);
  if (drawing) parts.push(h("section", {}, h("h3", {}, "How the score grew"), wrap(drawing)));
  if (detail.best.length) parts.push(stimuliOf(app, unit, "best", detail.best), neighbours(app, detail), stimuliOf(app, unit, "worst", detail.worst));
  else parts.push(neighbours(app, detail));
  if (atlas.columns && detail.most > detail.least) {
    const charts = h("section", { class: "charts" });
    parts.push(charts);
    atlas.tuning(unit).then((codes) => {
      const values = valuesOf(codes, detail.least, detail.most);
      const byClass = classes(app, values);
      charts.replaceChildren(h("h3", {}, "Responses to all stimuli"), wrap(histogram(codes, detail.least, detail.most)),
        ...(byClass ? [h("h3", {}, "By class"), byClass] : []), ...curves(app, values));
    }, (error: Error) => charts.replaceChildren(h("p", { class: "note" }, error.message)));
  }
  if (atlas.command && atlas.isPictured(unit)) parts.push(again(app, unit));
  return parts;
}

function curves(app: App, values: Float32Array): HTMLElement[] {
  const found = varied(app, values);
  return found.length ? [h("h3", {}, "Tuning", h("span", { class: "note" }, "along what the stimuli vary in")), ...found.map(tuningCurve)] : [];
}

/** How far the picture can be trusted: a score below what plain stimuli reach says that the optimisation failed. */
function trust(app: App, unit: number, detail: Detail): HTMLElement | null {
  if (!app.atlas.isPictured(unit) || !detail.best.length) return null;
  const [score, most] = [app.atlas.score[unit], detail.best[0].value];
  if (!(most > 0)) return null;
  const sure = score > most;
  return h("p", { class: "badge", "data-sure": String(sure) }, sure
    ? `Its picture drives it ${number(score / most)} times as much as the best stimulus.`
    : `Its picture drives it less (${number(score)}) than the best stimulus (${number(most)}): look at the stimuli first.`);
}

/** The command that makes the picture again. */
function again(app: App, unit: number): HTMLElement {
  const address = app.atlas.address(unit);
  const plain = /^[A-Za-z0-9_.:@,/+-]+$/.test(address) ? address : `'${address.replaceAll("'", "'\\''")}'`;
  const command = app.atlas.command.replace("UNIT", () => plain);
  const copy = h("button", { type: "button", class: "quiet", click: () => {
    void navigator.clipboard.writeText(command).then(() => (copy.textContent = "Copied"), () => getSelection()?.selectAllChildren(code));
  } }, "Copy");
  const code = h("code", { class: "command", tabindex: "0" }, command);
  return h("section", {}, h("h3", {}, "Make its picture again", copy), code);
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

/** The part of an address that tells units of one layer apart; it is never cut off. */
function tail(address: string): string {
  return address.slice(address.lastIndexOf(":"));
}

function wrap(drawing: SVGElement): HTMLElement {
  const figure = h("figure", {});
  figure.append(drawing);
  return figure;
}
