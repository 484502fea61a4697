/** Units as data for other programs: the twin of a card as JSON, a selection as JSON or CSV. */

import type { App } from "../app";
import type { Seen } from "../crops";
import { h } from "../dom";
import { named, shown, subjectOf } from "../map/shown";
import type { Answer } from "../parts";

/** What a card says of a unit. The same as `neuronatlas.view.records.unit_record` writes. */
export async function record(app: App, unit: number): Promise<Record<string, unknown>> {
  const { atlas } = app;
  const detail = await atlas.detail(unit);
  const layer = atlas.layers[atlas.layerOf[unit]];
  const seen = await atlas.crops.of(unit);
  const answers = (some: Answer[], crops: Seen["best"]): unknown[] => some.map(({ stimulus, value }) => ({
    stimulus: atlas.stimuli[stimulus].name, label: atlas.stimuli[stimulus].label, response: plain(value), box: crops.get(stimulus)?.box ?? null,
  }));
  const numbers = await Promise.all(atlas.numbers.map(async (name) => [name, plain((await atlas.number(name))[unit])] as const));
  const lowest = atlas.faces.lowest(unit);
  return {
    unit: atlas.address(unit), layer: layer.name, kind: layer.kind, index: atlas.indexOf[unit], shape: layer.shape,
    receptive_field: layer.field, network: atlas.title, status: atlas.status(unit), reason: atlas.reason(unit),
    position: atlas.placed(unit) ? [plain(atlas.plane[2 * unit]), plain(atlas.plane[2 * unit + 1])] : null,
    score: plain(atlas.score[unit]), negative: lowest === null ? null : { score: plain(lowest) },
    diverse: (await atlas.faces.diverse(unit)).map(({ score }) => ({ score: plain(score) })), numbers: Object.fromEntries(numbers),
    best: answers(detail.best, seen.best), worst: answers(detail.worst, seen.worst),
    neighbours: detail.neighbours.map(({ unit: other, correlation }) => ({ unit: atlas.address(other), correlation: plain(correlation) })),
    provenance: Object.fromEntries(atlas.facts),
  };
}

/** Nine digits tell all 32-bit numbers apart; what is no number is null. */
function plain(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toPrecision(9)) : null;
}

/** Units as a table, with what colours the map just now; a text that a spreadsheet would run as a formula has a quotation mark before it. */
export async function csv(app: App, units: readonly number[]): Promise<string> {
  const { atlas, route } = app;
  const numbers = await shown(app, route);
  const subject = subjectOf(route);
  const name = subject ? `${route.minus ? "difference" : "response"}: ${named(app, subject)}${route.minus ? ` minus ${named(app, route.minus)}` : ""}` : route.colour;
  const cell = (text: string): string => `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  const value = (x: number): string => (Number.isFinite(x) ? String(plain(x)) : "nan");
  const rows = units.map((unit) => [cell(atlas.address(unit)), cell(atlas.layers[atlas.layerOf[unit]].name), String(atlas.indexOf[unit]),
    value(atlas.plane[2 * unit]), value(atlas.plane[2 * unit + 1]), cell(atlas.status(unit)), value(atlas.score[unit]), ...(numbers ? [value(numbers.values[unit])] : [])].join(","));
  return [`unit,layer,index,x,y,status,score${numbers ? `,${cell(name)}` : ""}`, ...rows].join("\r\n") + "\r\n";
}

/** Offer a text or a picture as a file; nothing leaves the page. */
export function save(name: string, content: string | Blob, type = "text/plain"): void {
  const address = URL.createObjectURL(typeof content === "string" ? new Blob([content], { type: `${type};charset=utf-8` }) : content);
  const link = h("a", { href: address, download: name.replace(/[^A-Za-z0-9.-]+/g, "_").slice(-120) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
