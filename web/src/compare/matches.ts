/** What data/compare.js says: the units of every atlas, and each one's match in the others. */

import { unpack, type Packed } from "../scripts";

interface Raw {
  atlases: { title: string; layers: string[]; layer: Packed; index: Packed; places: [number, number, number][] }[];
  stimuli: string[];
  pairs: { from: number; to: number; indices: Packed; correlations: Packed; mutual: Packed; best: Packed; cka: Packed }[];
}

export interface Side {
  title: string;
  layers: string[];
  addresses: string[];
  find: Map<string, number>;
}

export interface Found {
  unit: number;
  correlation: number;
  /** Whether each is the other's best. */
  mutual: boolean;
}

export interface Pair {
  from: number;
  to: number;
  /** Layers of `from` by layers of `to`, row by row; NaN where there is nothing to compare. */
  best: Float32Array;
  cka: Float32Array;
  match(unit: number): Found | null;
}

export class Comparison {
  readonly sides: Side[];
  readonly stimuli: string[];
  readonly pairs: Pair[];

  constructor(raw: Raw) {
    this.stimuli = raw.stimuli;
    this.sides = raw.atlases.map(({ title, layers, layer, index, places }) => {
      const [layerOf, indexOf] = [unpack(layer), unpack(index)];
      const place = new Map(places.map(([unit, row, column]) => [unit, `@${row},${column}`]));
      const addresses = Array.from(layerOf, (number, unit) => `${layers[number]}:${indexOf[unit]}${place.get(unit) ?? ""}`);
      return { title, layers, addresses, find: new Map(addresses.map((address, unit) => [address, unit])) };
    });
    this.pairs = raw.pairs.map(({ from, to, indices, correlations, mutual, best, cka }) => {
      const [found, values, both] = [unpack(indices), unpack(correlations), unpack(mutual)];
      return {
        from, to, best: unpack(best) as Float32Array, cka: unpack(cka) as Float32Array,
        match: (unit) => (found[unit] < 0 ? null : { unit: found[unit], correlation: values[unit], mutual: both[unit] === 1 }),
      };
    });
  }

  pair(from: number, to: number): Pair {
    const found = this.pairs.find((pair) => pair.from === from && pair.to === to);
    if (!found) throw new Error(`data/compare.js lacks the atlases ${from} and ${to}: write the page again.`);
    return found;
  }
}

/** The comparison, put in place by data/compare.js before this script runs. */
export function readComparison(): Comparison {
  const raw = globalThis.neuronatlasData?.["compare"] as Raw | undefined;
  if (!raw) throw new Error("data/compare.js is missing or damaged: write the page again.");
  return new Comparison(raw);
}
