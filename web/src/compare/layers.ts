/** How alike the layers of two atlases are: a heat map, and a table equal to it. */

import { byId, h } from "../dom";
import { css, responseColour } from "../palette";
import type { Comparison, Pair } from "./matches";

const MEASURES = {
  cka: "Linear CKA: 1 where two layers hold the same responses up to a rotation and a scale (Kornblith et al. 2019).",
  best: "Mean over the units of the row’s layer of their best correlation with a unit of the column’s layer.",
} as const;

type Measure = keyof typeof MEASURES;

export function layersView(comparison: Comparison): void {
  const box = byId("layers");
  box.tabIndex = -1;
  const { sides, pairs } = comparison;
  const pair = h("select", { change: () => show() },
    ...pairs.map(({ from, to }, number) => h("option", { value: number }, `${sides[from].title} → ${sides[to].title}`)));
  const measure = h("select", { change: () => show() },
    h("option", { value: "cka" }, "Linear CKA"), h("option", { value: "best" }, "Mean best correlation"));
  const body = h("div");
  box.append(
    h("div", { class: "layers-bar" }, h("h2", {}, "How alike the layers are"),
      h("label", { class: "field" }, h("span", {}, "Atlases"), pair),
      h("label", { class: "field" }, h("span", {}, "Measure"), measure)),
    body);
  const show = (): void => {
    const chosen = measure.value as Measure;
    const shown = pairs[Number(pair.value)];
    body.replaceChildren(h("p", { class: "note" }, MEASURES[chosen]),
      h("div", { class: "layers-both" }, heat(comparison, shown, chosen), table(comparison, shown, chosen)));
  };
  show();
}

/** Most columns whose cells have room for their numbers. */
const ROOMY = 10;

/** What a cell says; the heat map and the table have it from here. */
function word(value: number): string {
  return Number.isFinite(value) ? value.toFixed(3).replace("-", "−") : "none";
}

function heat(comparison: Comparison, pair: Pair, measure: Measure): HTMLElement {
  const [rows, columns] = [comparison.sides[pair.from].layers, comparison.sides[pair.to].layers];
  const values = pair[measure];
  const canvas = h("canvas", {
    class: "heat", width: columns.length, height: rows.length, tabindex: "0", role: "application",
    "aria-label": `Heat map of ${rows.length} by ${columns.length} layers. Arrow keys go from cell to cell; the table has the same numbers.`,
  });
  const said = h("p", { class: "said", "aria-live": "polite" }, "Point at a cell, or use the arrow keys.");
  const mark = h("div", { class: "mark-cell", hidden: true });
  const pen = canvas.getContext("2d");
  values.forEach((value, cell) => {
    if (!pen || !Number.isFinite(value)) return;
    pen.fillStyle = css(responseColour(value));
    pen.fillRect(cell % columns.length, Math.floor(cell / columns.length), 1, 1);
  });
  const numbers = h("div", { class: "heat-numbers", "aria-hidden": "true" });
  if (columns.length <= ROOMY) {
    numbers.style.gridTemplateColumns = `repeat(${columns.length}, minmax(0, 1fr))`;
    numbers.append(...Array.from(values, (value) => h("span", { class: value >= 0.44 ? "on-light" : "" }, short(value))));
  }
  let [row, column] = [0, 0];
  const say = (): void => {
    said.replaceChildren(h("b", {}, word(values[row * columns.length + column])), ` ${rows[row]} → ${columns[column]}`);
    mark.hidden = false;
    mark.style.left = `${(100 * column) / columns.length}%`;
    mark.style.top = `${(100 * row) / rows.length}%`;
    mark.style.width = `${100 / columns.length}%`;
    mark.style.height = `${100 / rows.length}%`;
  };
  canvas.addEventListener("pointermove", (event) => {
    const at = canvas.getBoundingClientRect();
    column = within(Math.floor(((event.clientX - at.left) / at.width) * columns.length), columns.length);
    row = within(Math.floor(((event.clientY - at.top) / at.height) * rows.length), rows.length);
    say();
  });
  canvas.addEventListener("focus", say);
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    row = within(row + step[0], rows.length);
    column = within(column + step[1], columns.length);
    say();
  });
  return h("div", { class: "heat-box" },
    h("p", { class: "note axis" }, `Rows: ${comparison.sides[pair.from].title}, first layer on top. Columns: ${comparison.sides[pair.to].title}.`),
    h("div", { class: "heat-frame" }, canvas, numbers, mark), said,
    h("div", { class: "scale" }, h("span", {}, "0"), h("i", { class: "ramp" }), h("span", {}, "1")));
}

/** Two decimals without the nought before them; nothing where there is no number. */
function short(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2).replace(/^(-?)0\./, "$1.").replace("-", "−") : "";
}

function within(value: number, length: number): number {
  return Math.min(Math.max(value, 0), length - 1);
}

function table(comparison: Comparison, pair: Pair, measure: Measure): HTMLElement {
  const [rows, columns] = [comparison.sides[pair.from].layers, comparison.sides[pair.to].layers];
  return h("div", { class: "numbers", tabindex: "0", role: "region", "aria-label": "The same numbers as a table" }, h("table", {},
    h("thead", {}, h("tr", {}, h("td", {}), ...columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...rows.map((name, row) => h("tr", {}, h("th", { scope: "row" }, name),
      ...columns.map((_, column) => h("td", {}, word(pair[measure][row * columns.length + column]))))))));
}
