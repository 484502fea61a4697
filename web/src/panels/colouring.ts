/** How the map is coloured, filled and shaped. */

import type { App } from "../app";
import { h } from "../dom";
import { named, subjectOf } from "../map/shown";
import type { Fill, Subject } from "../route";

export function colouring(app: App): HTMLElement {
  const { atlas } = app;
  const field = (words: string, control: HTMLElement): HTMLElement =>
    h("div", { class: "field wide" }, h("label", { for: control.id }, words), control);
  const choice = (id: string, options: [string, string][], change: (value: string) => void): HTMLSelectElement => {
    const select = h("select", { id, change: () => change(select.value) }, ...options.map(([value, words]) => h("option", { value }, words)));
    return select;
  };
  const columns: [string, string][] = [["", "Layer"], ["response", "Response to a stimulus or class"], ...(atlas.clusters ? [["patches", "Patch of the map"] as [string, string]] : []),
    ...(atlas.pictured.length ? [["Score", "Score"] as [string, string]] : []), ...atlas.numbers.map((name): [string, string] => [name, name])];
  const colour = choice("colour", columns, (value) => value !== "response" && app.go({ colour: value, stimulus: null, label: null, minus: null, film: false }));
  const mean = choice("mean", [["", "–"], ...atlas.labels.map((label): [string, string] => [label, label])],
    (label) => app.show(label ? { label } : null));
  const minus = choice("minus", [["", "–"]], (value) => app.go({ minus: subject(app, value) }));
  const group = (words: string, options: [string, string][]): HTMLElement | null => (options.length
    ? h("optgroup", { label: words }, ...options.map(([value, name]) => h("option", { value }, name))) : null);
  minus.append(...[group("Classes, their mean", atlas.labels.map((label) => [`c${label}`, label])),
    group("Single stimuli", atlas.stimuli.map(({ name }) => [`s${name}`, name]))].filter((each) => each !== null));
  const fill = choice("fill", [["points", "Dots"], ["nearest", "Nearest unit"], ["linear", "Linear mixture"]], (value) => app.go({ fill: value as Fill }));
  const disc = h("input", { type: "checkbox", change: () => app.go({ circle: disc.checked }) });
  const strip = h("input", { type: "checkbox", change: () => app.go({ film: strip.checked, ...(app.route.stimulus === null && app.route.label === null
    ? { stimulus: 0 } : {}) }) });
  const rows = {
    colour: field("Colour by", colour), mean: field("Mean over class", mean), minus: field("Minus", minus), fill: field("Fill", fill),
  };
  app.watch((route) => {
    colour.value = subjectOf(route) ? "response" : route.colour;
    for (const option of colour.options) if (option.value === "response") option.hidden = subjectOf(route) === null;
    mean.value = route.label ?? "";
    minus.value = !route.minus ? "" : "label" in route.minus ? `c${route.minus.label}` : `s${named(app, route.minus)}`;
    fill.value = route.fill;
    [disc.checked, strip.checked] = [route.circle, route.film];
    rows.minus.hidden = subjectOf(route) === null;
    rows.mean.hidden = !atlas.labels.length;
    fill.disabled = subjectOf(route) === null && !route.colour;
    rows.fill.title = fill.disabled ? "Choose a stimulus, a class or a column first: layers have no numbers" : "";
  });
  return h("details", { class: "group", id: "colouring" },
    h("summary", {}, h("h2", {}, "Map")),
    rows.colour, rows.mean, rows.minus, rows.fill,
    h("label", { class: "field" }, disc, " Draw it out to a disc"),
    atlas.stimuli.length > 1 && h("label", { class: "field" }, strip, " Film strip of stimuli"));
}

function subject(app: App, value: string): Subject | null {
  if (!value) return null;
  if (value.startsWith("c")) return { label: value.slice(1) };
  const stimulus = app.atlas.stimulusNumber(value.slice(1));
  return stimulus === null ? null : { stimulus };
}
