/** What the parts of an atlas hold, as `neuronatlas/view/parts.py` writes them. */

import { load, once, unpack, type Packed } from "./scripts";

/** Packs of pictures in memory at a time. */
const PACKS = 96;

export interface Overview {
  title: string;
  layers: [string, string, number, number[], number | null][];
  units: {
    count: number;
    layer: Packed;
    index: Packed;
    places: [number, number, number][];
    positions: Packed;
    status: Packed;
    score: Packed;
    pictures: Packed;
  };
  words: string[];
  reasons: [number, string][];
  stimuli: [string, string][];
  numbers: string[];
  clusters: number;
  sheets: number[];
  sheeted: Packed;
  pack: number;
  stimulusPack: number;
  rows: number;
  columns: number;
  strong: number;
  strongest: number;
  details: number;
  best: number;
  neighbours: number;
  excited: Packed;
  named: number;
  facts: [string, string][];
  command: string;
  negatives: { units: Packed; scores: Packed; pack: number };
  diverse: { units: Packed; counts: Packed; pack: number };
  crops: { units: Packed; pack: number; size: [number, number] };
}

/** One of the pictures that lie `size` to a part. */
export async function image(kind: "pictures" | "negatives" | "stimuli", place: number, size: number): Promise<string> {
  const chunk = Math.floor(place / size);
  const pack = await once(`${kind}-${chunk}`, async () => (await load(`${kind}-${chunk}`)) as string[], PACKS);
  return `data:image/webp;base64,${pack[place - chunk * size]}`;
}

export function wellFormed(name: string): string {
  return typeof name.toWellFormed === "function" ? name.toWellFormed() : name;
}

/** The response to one stimulus. */
export interface Answer {
  stimulus: number;
  value: number;
}

export interface Block {
  neighbours: Int32Array;
  correlations: Float32Array;
  stimuli: Int32Array;
  values: Float32Array;
  worst: Int32Array;
  worstValues: Float32Array;
  low: Float32Array;
  high: Float32Array;
  least: Float32Array;
  most: Float32Array;
  curves: Map<number, Float32Array>;
}

export function unpackDetails(raw: unknown): Block {
  const packed = raw as Record<string, Packed> & { curves: [number, Packed][] };
  return {
    neighbours: unpack(packed["neighbours"]) as Int32Array,
    correlations: unpack(packed["correlations"]) as Float32Array,
    stimuli: unpack(packed["stimuli"]) as Int32Array,
    values: unpack(packed["values"]) as Float32Array,
    worst: unpack(packed["worst"]) as Int32Array,
    worstValues: unpack(packed["worstValues"]) as Float32Array,
    low: unpack(packed["low"]) as Float32Array,
    high: unpack(packed["high"]) as Float32Array,
    least: unpack(packed["least"]) as Float32Array,
    most: unpack(packed["most"]) as Float32Array,
    curves: new Map(packed.curves.map(([unit, curve]) => [unit, unpack(curve) as Float32Array])),
  };
}
