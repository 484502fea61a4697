/** On the card of a unit: the stimuli that it answers to most, or least, and what it sees of the first of them. */

import type { App } from "../app";
import { Crops, type Seen } from "../crops";
import { h, number } from "../dom";
import type { Answer } from "../parts";
import { late, stimulusPicture } from "./common";

export function stimuliOf(app: App, unit: number, side: keyof Seen, some: Answer[]): HTMLElement {
  const title = side === "best" ? "Best stimuli" : "Worst stimuli";
  const section = h("section", { class: "best" }, h("h3", {}, title, h("span", { class: "note" }, "click to colour the map")));
  if (!app.atlas.crops.has(unit)) {
    section.append(h("div", { class: "row" }, ...some.map((answer) => tile(app, answer, stimulusPicture(app, answer.stimulus)))));
    return section;
  }
  const seen = app.atlas.crops.of(unit);
  const [first, rest] = [some.slice(0, Crops.KEPT), some.slice(Crops.KEPT)];
  section.append(
    h("div", { class: "row" }, ...first.map((answer) => tile(app, answer, outlined(app, answer.stimulus, side, seen)))),
    h("div", { class: "row crops" }, ...first.map(({ stimulus }) => crop(app, unit, stimulus, side, seen))));
  if (rest.length) section.append(h("div", { class: "row" }, ...rest.map((answer) => tile(app, answer, stimulusPicture(app, answer.stimulus)))));
  return section;
}

function tile(app: App, { stimulus, value }: Answer, picture: HTMLElement): HTMLElement {
  const { name, label } = app.atlas.stimuli[stimulus];
  return h("button", {
    type: "button", class: "tile", title: label ? `${name} (${label})` : name, "data-stimulus": stimulus,
    "aria-label": `${name}, response ${number(value)}`, "aria-pressed": String(app.route.stimulus === stimulus),
    click: () => app.go({ stimulus: app.route.stimulus === stimulus ? null : stimulus, label: null }),
  }, picture, h("span", { class: "value" }, number(value)));
}

/** A stimulus with a line around what the unit sees where it answers most, or least. */
function outlined(app: App, stimulus: number, side: keyof Seen, seen: Promise<Seen>): HTMLElement {
  const picture = h("span", { class: "sight" }, stimulusPicture(app, stimulus));
  seen.then((all) => {
    const found = all[side].get(stimulus);
    if (!found) return;
    const [top, left, bottom, right] = app.atlas.crops.within(found.box).map((part) => 100 * part);
    const line = h("span", { class: "seen" });
    Object.assign(line.style, { top: `${top}%`, left: `${left}%`, height: `${bottom - top}%`, width: `${right - left}%` });
    picture.append(line);
  }, () => undefined);
  return picture;
}

/** That part of the stimulus; its square is there before it is known whether there is one. */
function crop(app: App, unit: number, stimulus: number, side: keyof Seen, seen: Promise<Seen>): HTMLElement {
  const { name } = app.atlas.stimuli[stimulus];
  const cell = h("div", { class: "crop" });
  seen.then((all) => {
    const found = all[side].get(stimulus);
    const where = side === "best" ? "most" : "least";
    cell.title = found ? "What it sees there" : "No place stands out: it answers alike nearly everywhere";
    if (found) cell.append(late(h("img", { alt: `What ${app.atlas.address(unit)} sees of ${name} where it answers ${where}`, draggable: "false" }), () => Promise.resolve(found.picture)));
  }, (error: Error) => (cell.title = error.message));
  return cell;
}
