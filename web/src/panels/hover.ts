/** The card that follows the pointer on the map. */

import type { App } from "../app";
import { byId, h, number } from "../dom";
import type { MapView } from "../map/map";
import { subjectOf, told } from "../map/shown";
import { stimulusPicture, swatch, unitPicture } from "./common";

export function hoverCard(app: App, map: MapView): void {
  const card = byId("hover");
  let shown: number | null = null;
  map.onHover = (unit, left, top) => {
    card.hidden = unit === null;
    if (unit === null) {
      shown = null;
      return;
    }
    if (unit !== shown) {
      shown = unit;
      const best = h("div", { class: "hover-best" });
      card.replaceChildren(h("div", { class: "hover-picture" }, unitPicture(app, unit)), words(app, map, unit), best);
      void app.atlas.detail(unit).then((detail) => {
        if (shown !== unit) return;
        best.replaceChildren(...detail.best.slice(0, 4).map(({ stimulus }) => stimulusPicture(app, stimulus)));
      }, () => undefined);
    }
    place(card, left, top);
  };
}

function words(app: App, map: MapView, unit: number): HTMLElement {
  const { atlas, route } = app;
  const lines: string[] = [];
  if (Number.isFinite(atlas.score[unit])) lines.push(`score ${number(atlas.score[unit])}`);
  if (map.shown) lines.push(`${subjectOf(route) ? (route.minus ? "difference" : "response") : route.colour.toLowerCase()} ${told(map.shown, map.shown.values[unit])}`);
  const status = atlas.status(unit);
  if (status) lines.push(status);
  return h("div", { class: "hover-words" },
    h("b", {}, swatch(app, atlas.layerOf[unit]), atlas.address(unit)), h("span", { class: "note" }, lines.join(" · ")));
}

/** Beside the pointer, and always inside the window. */
function place(card: HTMLElement, left: number, top: number): void {
  const stage = byId("stage").getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = card;
  const [x, y] = [stage.left + left, stage.top + top];
  const right = x + 18 + width < innerWidth ? x + 18 : x - 18 - width;
  card.style.transform = `translate(${Math.round(Math.max(8, right))}px, ${
    Math.round(Math.min(Math.max(8, y - height / 3), innerHeight - height - 8))}px)`;
}
