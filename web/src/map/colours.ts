/** Dots and their colours: by layer, or by numbers, the farthest from nothing drawn last and so on top. */

import type { App } from "../app";
import type { Rgb } from "../palette";
import type { Dots } from "./frame";
import { colourOf, stepOf, type Shown } from "./shown";

/** How much is seen of dots that are not in the selection, of 255. */
const FAINT = 40;

/** The units on the map: those with a place whose layer is shown. */
export function shownUnits(app: App): Uint32Array {
  const { atlas, route } = app;
  const units = new Uint32Array(atlas.count);
  let count = 0;
  for (let unit = 0; unit < atlas.count; unit++) {
    if (atlas.placed(unit) && (!route.layers || route.layers.has(atlas.layerOf[unit]))) units[count++] = unit;
  }
  return units.subarray(0, count);
}

export function colourDots(app: App, shown: Shown | null, layers: Rgb[]): Dots {
  const { atlas } = app;
  const units = shown && shown.kind !== "patch" ? inOrder(shownUnits(app), shown) : shownUnits(app);
  const positions = new Float32Array(2 * units.length);
  const colours = new Uint8Array(4 * units.length);
  const full = shown ? 255 : 225;
  const chosen = app.selection.length ? new Uint8Array(atlas.count) : null;
  for (const unit of app.selection) if (chosen) chosen[unit] = 1;
  for (let place = 0; place < units.length; place++) {
    const unit = units[place];
    positions[2 * place] = atlas.positions[2 * unit];
    positions[2 * place + 1] = atlas.positions[2 * unit + 1];
    const colour = shown ? colourOf(shown, shown.values[unit]) : layers[atlas.layerOf[unit]];
    colours[4 * place] = colour[0];
    colours[4 * place + 1] = colour[1];
    colours[4 * place + 2] = colour[2];
    colours[4 * place + 3] = !chosen || chosen[unit] ? full : FAINT;
  }
  return { units, positions, colours };
}

/** By rising step of the scale, or by rising distance from its middle; as many steps as buckets, so a million are quick. */
function inOrder(units: Uint32Array, shown: Shown): Uint32Array {
  const rank = (unit: number): number => {
    const step = stepOf(shown, shown.values[unit]);
    return shown.kind === "difference" && step >= 0 ? Math.abs(2 * step - 254) + 1 : step + 1;
  };
  const ranks = Uint8Array.from(units, rank);
  const next = new Uint32Array(257);
  for (const each of ranks) next[each + 1]++;
  for (let k = 0; k < 256; k++) next[k + 1] += next[k];
  const sorted = new Uint32Array(units.length);
  units.forEach((unit, place) => (sorted[next[ranks[place]]++] = unit));
  return sorted;
}
