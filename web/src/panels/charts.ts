/** Small drawings of a unit's responses: how many of which size, by class, and along what a stimulus was varied. */

import type { App } from "../app";
import { MISSING } from "../data";
import { h, number, svg } from "../dom";

/** Codes in one bar: 255 codes make 17 bars. */
const WIDE = 15;
const [WIDTH, HEIGHT] = [320, 96];
const [LEFT, BOTTOM, TOP] = [36, 20, 6];
/** Classes shown before "more". */
const CLASSES = 12;

/** A unit's responses, in its own measure; NaN where one is missing. */
export function valuesOf(codes: Uint8Array, least: number, most: number): Float32Array {
  return Float32Array.from(codes, (code) => (code === MISSING ? NaN : least + (code / (MISSING - 1)) * (most - least)));
}

/** How many stimuli have which response. */
export function histogram(codes: Uint8Array, least: number, most: number): SVGElement {
  const counts = new Array<number>(17).fill(0);
  for (const code of codes) if (code !== MISSING) counts[Math.floor(code / WIDE)]++;
  const highest = Math.max(1, ...counts);
  const side = (WIDTH - LEFT - 8) / counts.length;
  const y = (count: number): number => TOP + (1 - count / highest) * (HEIGHT - TOP - BOTTOM);
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", role: "img",
    "aria-label": `Histogram of ${codes.length} responses from ${number(least)} to ${number(most)}; the fullest of 17 bars holds ${highest}` },
  svg("line", { x1: LEFT, x2: WIDTH - 8, y1: y(0), y2: y(0), class: "rule" }),
  svg("text", { x: LEFT - 6, y: y(highest) + 7, "text-anchor": "end" }, String(highest)),
  svg("text", { x: LEFT - 6, y: y(0) + 1, "text-anchor": "end" }, "0"),
  ...counts.map((count, k) => svg("rect", { x: (LEFT + k * side + 0.5).toFixed(1), width: (side - 1).toFixed(1), y: y(count).toFixed(1),
    height: (y(0) - y(count)).toFixed(1), class: "bin" }, svg("title", {},
    `${count} of ${codes.length}: ${number(least + (k / 17) * (most - least))} to ${number(least + ((k + 1) / 17) * (most - least))}`))),
  svg("text", { x: LEFT, y: HEIGHT - 5 }, number(least)),
  svg("text", { x: WIDTH - 8, y: HEIGHT - 5, "text-anchor": "end" }, number(most)));
}

/** The mean response to each class, the highest first. */
export function classes(app: App, values: Float32Array): HTMLElement | null {
  const { atlas } = app;
  if (atlas.labels.length < 2) return null;
  const groups = new Map<string, number[]>(atlas.labels.map((label) => [label, []]));
  values.forEach((value, stimulus) => {
    if (Number.isFinite(value)) groups.get(atlas.stimuli[stimulus].label)?.push(value);
  });
  const rows = [...groups].filter(([, members]) => members.length).map(([label, members]) => {
    const mean = members.reduce((sum, value) => sum + value, 0) / members.length;
    const spread = Math.sqrt(members.reduce((sum, value) => sum + (value - mean) ** 2, 0) / members.length);
    return { label, mean, error: spread / Math.sqrt(members.length), count: members.length };
  }).sort((a, b) => b.mean - a.mean || (a.label < b.label ? -1 : 1));
  const low = Math.min(0, ...rows.map((row) => row.mean - row.error));
  const high = Math.max(0, ...rows.map((row) => row.mean + row.error));
  const percent = (value: number): string => `${((100 * (value - low)) / (high - low || 1)).toFixed(2)}%`;
  const body = h("tbody", {});
  const show = (most: number): void => {
    body.replaceChildren(...rows.slice(0, most).map(({ label, mean, error, count }) => {
      const bar = h("span", { class: "class-bar" });
      const [from, to] = [Math.min(0, mean), Math.max(0, mean)];
      Object.assign(bar.style, { left: percent(from), width: `${((100 * (to - from)) / (high - low || 1)).toFixed(2)}%` });
      const mark = h("span", { class: "class-error" });
      Object.assign(mark.style, { left: percent(mean - error), width: `${((200 * error) / (high - low || 1)).toFixed(2)}%` });
      return h("tr", {},
        h("th", { scope: "row" }, h("button", { type: "button", class: "quiet", title: `Colour the map by the mean response to ${label}`,
          click: () => app.show({ label }) }, label)),
        h("td", { class: "class-cell" }, bar, mark),
        h("td", { class: "n", title: `${count} stimuli, standard error ${number(error)}` }, number(mean)));
    }));
    if (rows.length > most) {
      body.append(h("tr", {}, h("td", { colspan: 3 }, h("button", { type: "button", class: "quiet", click: () => show(rows.length) },
        `${rows.length - most} more classes`))));
    }
  };
  show(CLASSES);
  return h("table", { class: "classes" }, h("caption", { class: "note" }, "Mean over a class's stimuli; the line is the standard error"), body);
}

interface Varied {
  kind: string;
  parameter: string;
  at: number[];
  /** The mean over all else that was varied, and the curve at the best of all else. */
  mean: number[];
  best: number[];
  rest: string;
}

/**
 * Curves over what stimuli were varied in. The names of stimuli say that: `grating/orientation=045/frequency=8/...`. For each
 * parameter with at least three numbers: the responses through the best stimulus, and the mean over all others.
 */
export function varied(app: App, values: Float32Array): Varied[] {
  const kinds = new Map<string, { stimulus: number; settings: Map<string, string> }[]>();
  app.atlas.stimuli.slice(0, values.length).forEach(({ name }, stimulus) => {
    const [kind, ...parts] = name.split("/");
    const settings = new Map(parts.filter((part) => part.includes("=")).map((part) => part.split("=", 2) as [string, string]));
    if (settings.size && Number.isFinite(values[stimulus])) kinds.set(kind, [...(kinds.get(kind) ?? []), { stimulus, settings }]);
  });
  return [...kinds].flatMap(([kind, members]) => {
    const parameters = [...new Set(members.flatMap(({ settings }) => [...settings.keys()]))];
    const peak = members.reduce((best, each) => (values[each.stimulus] > values[best.stimulus] ? each : best));
    return parameters.flatMap((parameter): Varied[] => {
      const here = members.filter(({ settings }) => /^-?\d+(\.\d+)?$/.test(settings.get(parameter) ?? ""));
      const at = [...new Set(here.map(({ settings }) => Number(settings.get(parameter))))].sort((a, b) => a - b);
      if (at.length < 3 || !peak.settings.has(parameter)) return [];
      const others = [...peak.settings].filter(([key]) => key !== parameter);
      const pick = (point: number, all: boolean): number => {
        const some = here.filter(({ settings }) => Number(settings.get(parameter)) === point &&
          (all || others.every(([key, value]) => settings.get(key) === value)));
        return some.reduce((sum, { stimulus }) => sum + values[stimulus], 0) / some.length;
      };
      return [{ kind, parameter, at, mean: at.map((point) => pick(point, true)), best: at.map((point) => pick(point, false)),
        rest: others.map(([key, value]) => `${key} ${value}`).join(", ") }];
    });
  });
}

export function tuningCurve({ kind, parameter, at, mean, best, rest }: Varied): HTMLElement {
  const all = [...mean, ...best].filter(Number.isFinite);
  const [low, high] = [Math.min(0, ...all), Math.max(0, ...all)];
  const x = (value: number): number => LEFT + 6 + ((value - at[0]) / (at[at.length - 1] - at[0])) * (WIDTH - LEFT - 20);
  const y = (value: number): number => TOP + (1 - (value - low) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);
  const line = (values: number[], name: string): SVGElement => svg("path", { class: name,
    d: `M${values.flatMap((value, k) => (Number.isFinite(value) ? [`${x(at[k]).toFixed(1)},${y(value).toFixed(1)}`] : [])).join("L")}` });
  const peak = best.reduce((top, value, k) => (value > best[top] || !Number.isFinite(best[top]) ? k : top), 0);
  const figure = h("figure", {}, h("figcaption", {}, `${kind}: ${parameter}, best at ${at[peak]}${parameter === "orientation" ? "°" : ""}`,
    h("span", { class: "note" }, rest ? ` with ${rest}; dashed: mean over all others` : "")));
  figure.append(svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", role: "img",
    "aria-label": `Response to ${kind} by ${parameter}: ${at.map((point, k) => `${point}: ${number(best[k])}`).join("; ")}` },
  ...[low, high].map((value) => svg("g", {}, svg("line", { x1: LEFT, x2: WIDTH - 8, y1: y(value), y2: y(value), class: "rule" }),
    svg("text", { x: LEFT - 6, y: y(value) + 3.5, "text-anchor": "end" }, number(value)))),
  line(mean, "line dashed"), line(best, "line"),
  ...at.map((point, k) => Number.isFinite(best[k]) && svg("circle", { cx: x(point), cy: y(best[k]), r: 2.5, class: "end" },
    svg("title", {}, `${parameter} ${point}: ${number(best[k])}`))).filter((each): each is SVGElement => Boolean(each)),
  ...[...new Set([0, peak, at.length - 1])].filter((k) => k === peak || Math.abs(x(at[k]) - x(at[peak])) > 26).map((k) =>
    svg("text", { x: x(at[k]), y: HEIGHT - 5, "text-anchor": "middle" }, String(at[k])))));
  return figure;
}
