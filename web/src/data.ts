/** The atlas as the page sees it. Data comes in classic scripts, the only kind that a page from file:// may load. */

import { load, once, unpack, type Packed } from "./scripts";

interface Overview {
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
  sheets: number;
  rows: number;
  details: number;
  best: number;
  neighbours: number;
  excited: Packed;
  named: number;
  facts: [string, string][];
}

export interface Layer {
  name: string;
  kind: string;
  units: number;
  shape: number[];
  field: number | null;
  /** Indices of its units, in order. */
  members: number[];
  pictured: number;
}

export interface Stimulus {
  name: string;
  label: string;
}

/** What a unit's card shows. */
export interface Detail {
  neighbours: { unit: number; correlation: number }[];
  best: { stimulus: number; value: number }[];
  low: number;
  high: number;
  curve: Float32Array | null;
}

export interface Sheet {
  cell: number;
  columns: number;
  units: Uint32Array;
  image: ImageBitmap | HTMLImageElement;
}

/** The code of a response that is not a finite number; 0..254 are the others. */
export const MISSING = 255;

export class Atlas {
  readonly title: string;
  readonly layers: Layer[];
  readonly stimuli: Stimulus[];
  readonly facts: [string, string][];
  readonly count: number;
  readonly layerOf: Uint16Array;
  readonly indexOf: Uint32Array;
  readonly positions: Float32Array;
  readonly score: Float32Array;
  readonly pictured: Uint32Array;
  private readonly excitedUnits: Int32Array;
  private readonly statusCode: Uint8Array;
  private readonly hasPicture: Uint8Array;
  private readonly places = new Map<number, string>();
  private readonly reasons: Map<number, string>;
  private readonly byAddress = new Map<string, number>();

  constructor(private readonly overview: Overview) {
    const { units } = overview;
    this.title = overview.title;
    this.count = units.count;
    this.stimuli = overview.stimuli.map(([name, label]) => ({ name: wellFormed(name), label: wellFormed(label) }));
    this.facts = overview.facts;
    this.layerOf = unpack(units.layer) as Uint16Array;
    this.indexOf = unpack(units.index) as Uint32Array;
    this.positions = unpack(units.positions) as Float32Array;
    this.score = unpack(units.score) as Float32Array;
    this.statusCode = unpack(units.status) as Uint8Array;
    this.pictured = unpack(units.pictures) as Uint32Array;
    this.reasons = new Map(overview.reasons);
    for (const [unit, row, column] of units.places) this.places.set(unit, `@${row},${column}`);
    this.excitedUnits = unpack(overview.excited) as Int32Array;
    this.hasPicture = new Uint8Array(this.count);
    for (const unit of this.pictured) this.hasPicture[unit] = 1;
    this.layers = overview.layers.map(([name, kind, size, shape, field]) => ({
      name: wellFormed(name), kind, units: size, shape, field, members: [], pictured: 0,
    }));
    for (let unit = 0; unit < this.count; unit++) {
      const layer = this.layers[this.layerOf[unit]];
      layer.members.push(unit);
      layer.pictured += this.hasPicture[unit];
      this.byAddress.set(this.address(unit), unit);
    }
    for (const layer of this.layers) layer.members.sort((a, b) => this.indexOf[a] - this.indexOf[b] || a - b);
  }

  address(unit: number): string {
    return `${this.layers[this.layerOf[unit]].name}:${this.indexOf[unit]}${this.places.get(unit) ?? ""}`;
  }

  find(address: string): number | null {
    return this.byAddress.get(address) ?? null;
  }

  layerNumber(name: string): number | null {
    const found = this.layers.findIndex((layer) => layer.name === name);
    return found < 0 ? null : found;
  }

  stimulusNumber(name: string): number | null {
    const found = this.stimuli.findIndex((stimulus) => stimulus.name === name);
    return found < 0 ? null : found;
  }

  status(unit: number): string {
    return this.overview.words[this.statusCode[unit]];
  }

  reason(unit: number): string {
    return this.reasons.get(unit) ?? "";
  }

  /** Whether the unit has a place on the map. */
  placed(unit: number): boolean {
    return Number.isFinite(this.positions[2 * unit]) && Number.isFinite(this.positions[2 * unit + 1]);
  }

  isPictured(unit: number): boolean {
    return this.hasPicture[unit] === 1;
  }

  /** The rendered units that a stimulus excites most, against what else excites them. */
  excited(stimulus: number): number[] {
    const { named } = this.overview;
    return Array.from(this.excitedUnits.subarray(stimulus * named, (stimulus + 1) * named)).filter((unit) => unit >= 0);
  }

  /** Paths are numbers: no name ever becomes one. */
  picture(unit: number): string {
    return `pictures/${unit}.webp`;
  }

  stimulusPicture(stimulus: number): string {
    return `stimuli/${stimulus}.webp`;
  }

  /** One code a unit: its response to the stimulus between its 1st (0) and 99th (254) percentile. */
  async responses(stimulus: number): Promise<Uint8Array> {
    const { rows } = this.overview;
    const chunk = Math.floor(stimulus / rows);
    const codes = await once(`codes-${chunk}`, async () => unpack((await load(`responses-${chunk}`)) as Packed));
    const start = (stimulus - chunk * rows) * this.count;
    return (codes as Uint8Array).subarray(start, start + this.count);
  }

  async detail(unit: number): Promise<Detail> {
    const chunk = Math.floor(unit / this.overview.details);
    const block = await once(`block-${chunk}`, async () => unpackDetails(await load(`details-${chunk}`)));
    const row = unit - chunk * this.overview.details;
    const { best, neighbours } = this.overview;
    const detail: Detail = {
      neighbours: [], best: [], low: block.low[row], high: block.high[row], curve: block.curves.get(unit) ?? null,
    };
    for (let k = row * neighbours; k < (row + 1) * neighbours; k++) {
      const other = block.neighbours[k];
      if (other >= 0) detail.neighbours.push({ unit: other, correlation: block.correlations[k] });
    }
    for (let k = row * best; k < (row + 1) * best; k++) {
      if (block.stimuli[k] >= 0) detail.best.push({ stimulus: block.stimuli[k], value: block.values[k] });
    }
    return detail;
  }

  /** The thumbnails, decoded; sheets arrive one by one, so that the first is seen before the last is read. */
  async sheets(each: (sheet: Sheet) => void): Promise<void> {
    for (let number = 0; number < this.overview.sheets; number++) {
      const raw = (await load(`sprites-${number}`)) as { cell: number; columns: number; units: Packed; image: string };
      const image = new Image();
      image.src = raw.image;
      await image.decode();
      each({ cell: raw.cell, columns: raw.columns, units: unpack(raw.units) as Uint32Array, image });
    }
  }
}

/** The overview, put in place by data/scene.js before this script runs. */
export function readOverview(): Atlas {
  const overview = globalThis.neuronatlasData?.["scene"] as Overview | undefined;
  if (!overview) throw new Error("data/scene.js is missing or damaged: write the page again.");
  return new Atlas(overview);
}

interface Block {
  neighbours: Int32Array;
  correlations: Float32Array;
  stimuli: Int32Array;
  values: Float32Array;
  low: Float32Array;
  high: Float32Array;
  curves: Map<number, Float32Array>;
}

function unpackDetails(raw: unknown): Block {
  const packed = raw as Record<string, Packed> & { curves: [number, Packed][] };
  return {
    neighbours: unpack(packed["neighbours"]) as Int32Array,
    correlations: unpack(packed["correlations"]) as Float32Array,
    stimuli: unpack(packed["stimuli"]) as Int32Array,
    values: unpack(packed["values"]) as Float32Array,
    low: unpack(packed["low"]) as Float32Array,
    high: unpack(packed["high"]) as Float32Array,
    curves: new Map(packed.curves.map(([unit, curve]) => [unit, unpack(curve) as Float32Array])),
  };
}

function wellFormed(name: string): string {
  return typeof name.toWellFormed === "function" ? name.toWellFormed() : name;
}
