/** What colours the map: one number a unit, and what the numbers mean. */

import type { App } from "../app";
import { MISSING } from "../data";
import { number } from "../dom";
import { differenceColour, patchColour, responseColour, type Rgb } from "../palette";
import type { Route, Subject } from "../route";
import { isDark } from "../theme";

export interface Shown {
  kind: "response" | "difference" | "number" | "patch";
  /** One a unit; NaN where there is none. */
  values: Float32Array;
  /** The values at the ends of the scale of colours. */
  low: number;
  high: number;
}

export const NONE: Rgb = [140, 146, 156];
const STEPS = 255;
const SEQUENTIAL: Rgb[] = Array.from({ length: STEPS }, (_, k) => responseColour(k / (STEPS - 1)));
const DIVERGING: Rgb[] = Array.from({ length: STEPS }, (_, k) => differenceColour((2 * k) / (STEPS - 1) - 1));

/** Whether another route needs other numbers. */
export function sameShown(a: Route, b: Route): boolean {
  return a.stimulus === b.stimulus && a.label === b.label && a.colour === b.colour && same(a.minus, b.minus);
}

function same(a: Subject | null, b: Subject | null): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** The subject of a route, if it has one. */
export function subjectOf(route: Route): Subject | null {
  if (route.stimulus !== null) return { stimulus: route.stimulus };
  return route.label === null ? null : { label: route.label };
}

/** A subject in words. */
export function named(app: App, subject: Subject): string {
  return "label" in subject ? `class ${subject.label}` : app.atlas.stimuli[subject.stimulus].name;
}

let last: { key: string; promise: Promise<Shown | null> } | null = null;

/** Ask again next time: a stimulus has changed. */
export function forget(): void {
  last = null;
}

/** The numbers of a route; null where the map is coloured by layer. */
export function shown(app: App, route: Route): Promise<Shown | null> {
  const key = JSON.stringify([route.stimulus, route.label, route.minus, route.colour]);
  if (last?.key === key) return last.promise;
  const promise = found(app, route);
  promise.catch(() => (last = null));
  last = { key, promise };
  return promise;
}

async function found(app: App, route: Route): Promise<Shown | null> {
  const { atlas } = app;
  const subject = subjectOf(route);
  if (subject) {
    const values = await responses(app, subject);
    if (!route.minus) return { kind: "response", values, low: 0, high: 1 };
    const other = await responses(app, route.minus);
    return { kind: "difference", values: values.map((value, unit) => value - other[unit]), low: -1, high: 1 };
  }
  if (route.colour === "patches") {
    const values = Float32Array.from(await atlas.clusterOf(), (patch) => (patch < 0 ? NaN : patch));
    return { kind: "patch", values, low: 0, high: atlas.clusters - 1 };
  }
  if (!route.colour) return null;
  const values = await atlas.number(route.colour);
  const sorted = values.filter((value) => Number.isFinite(value)).sort();
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? 0;
  const [low, high] = [at(0.01), at(0.99)];
  return { kind: "number", values, low, high: high > low ? high : low + 1 };
}

/** The scaled responses to a stimulus, or their means over a class. */
async function responses(app: App, subject: Subject): Promise<Float32Array> {
  const { atlas } = app;
  const members = "stimulus" in subject ? [subject.stimulus]
    : atlas.stimuli.flatMap(({ label }, number) => (label === subject.label ? [number] : []));
  const sum = new Float32Array(atlas.count);
  const known = new Uint16Array(atlas.count);
  for (const stimulus of members) {
    const codes = await atlas.responses(stimulus);
    for (let unit = 0; unit < codes.length; unit++) {
      if (codes[unit] === MISSING) continue;
      sum[unit] += codes[unit];
      known[unit]++;
    }
  }
  return sum.map((total, unit) => (known[unit] ? total / known[unit] / (MISSING - 1) : NaN));
}

/** The step of the scale that a value stands on, 0 to 254; -1 for none. */
export function stepOf({ low, high }: Shown, value: number): number {
  if (!Number.isFinite(value)) return -1;
  return Math.round(Math.min(Math.max((value - low) / (high - low || 1), 0), 1) * (STEPS - 1));
}

/** The colour of a value. */
export function colourOf(shown: Shown, value: number): Rgb {
  if (shown.kind === "patch") return Number.isFinite(value) ? patchColour(value, isDark()) : NONE;
  const step = stepOf(shown, value);
  return step < 0 ? NONE : (shown.kind === "difference" ? DIVERGING : SEQUENTIAL)[step];
}

/** A value in words. */
export function told(shown: Shown, value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (shown.kind === "patch") return `patch ${value + 1}`;
  if (shown.kind === "number") return number(value);
  const text = value.toFixed(2).replace("-", "−");
  return shown.kind === "difference" && value > 0 ? `+${text}` : text;
}
