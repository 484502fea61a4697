/** Dots and their colours: by layer, or by the response to a stimulus, strong responses drawn last and so on top. */

import type { App } from "../app";
import { MISSING } from "../data";
import { responseColour, type Rgb } from "../palette";
import type { Dots } from "./frame";

const NONE: Rgb = [140, 146, 156];
const TABLE: Rgb[] = Array.from({ length: MISSING }, (_, code) => responseColour(code / (MISSING - 1)));

/** The units on the map: those with a place whose layer is shown. */
export function shownUnits(app: App): number[] {
  const { atlas, route } = app;
  const units: number[] = [];
  for (let unit = 0; unit < atlas.count; unit++) {
    if (atlas.placed(unit) && (!route.layers || route.layers.has(atlas.layerOf[unit]))) units.push(unit);
  }
  return units;
}

export function colourDots(app: App, codes: Uint8Array | null, layers: Rgb[]): Dots {
  const { atlas } = app;
  const units = shownUnits(app);
  if (codes) {
    const rank = (unit: number): number => (codes[unit] === MISSING ? -1 : codes[unit]);
    units.sort((a, b) => rank(a) - rank(b) || a - b);
  }
  const positions = new Float32Array(2 * units.length);
  const colours = new Uint8Array(4 * units.length);
  units.forEach((unit, place) => {
    positions[2 * place] = atlas.positions[2 * unit];
    positions[2 * place + 1] = atlas.positions[2 * unit + 1];
    const colour = codes ? (codes[unit] === MISSING ? NONE : TABLE[codes[unit]]) : layers[atlas.layerOf[unit]];
    colours.set(colour, 4 * place);
    colours[4 * place + 3] = codes ? 255 : 225;
  });
  return { units: Uint32Array.from(units), positions, colours };
}

/** The colour of one code, for cards and tables. */
export function codeColour(code: number): Rgb {
  return code === MISSING ? NONE : TABLE[code];
}
