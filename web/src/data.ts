/** The atlas as the page sees it. */

import { Crops } from "./crops";
import { Faces } from "./more";
import { image, unpackDetails, wellFormed, type Answer, type Overview } from "./parts";
import { PassingStimuli, type Excited, type Passing } from "./passing";
import { load, once, unpack, type Packed } from "./scripts";

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
  best: Answer[];
  worst: Answer[];
  /** The 1st and the 99th percentile of its responses. */
  low: number;
  high: number;
  /** The least and the greatest of them. */
  least: number;
  most: number;
  curve: Float32Array | null;
}

export interface Sheet {
  number: number;
  cell: number;
  columns: number;
  units: Uint32Array;
  image: HTMLImageElement;
}

/** The code of a response that is not a finite number; 0..254 are the others. */
export const MISSING = 255;

export class Atlas {
  readonly title: string;
  readonly layers: Layer[];
  readonly stimuli: Stimulus[];
  readonly labels: string[];
  readonly facts: [string, string][];
  readonly numbers: string[];
  readonly clusters: number;
  readonly command: string;
  readonly count: number;
  readonly layerOf: Uint16Array;
  readonly indexOf: Uint32Array;
  /** Where each unit lies on the map that is shown: `plane`, or the disc made of it. */
  positions: Float32Array;
  readonly plane: Float32Array;
  readonly score: Float32Array;
  readonly pictured: Uint32Array;
  /** The units of each sheet of thumbnails. */
  readonly sheets: Uint32Array[];
  readonly columns: boolean;
  readonly passing = new PassingStimuli();
  readonly faces: Faces;
  readonly crops: Crops;
  private readonly excitedUnits: Int32Array;
  private readonly statusCode: Uint8Array;
  /** The place of each unit among those that have a picture, from 1; 0 for none. */
  private readonly pictureRank: Uint32Array;
  private readonly places = new Map<number, string>();
  private readonly reasons: Map<number, string>;
  private readonly layerNumbers = new Map<string, number>();
  private readonly stimulusNumbers = new Map<string, number>();

  constructor(private readonly overview: Overview) {
    const { units } = overview;
    this.title = wellFormed(overview.title);
    this.count = units.count;
    this.stimuli = overview.stimuli.map(([name, label]) => ({ name: wellFormed(name), label: wellFormed(label) }));
    this.labels = [...new Set(this.stimuli.map(({ label }) => label).filter(Boolean))];
    this.facts = overview.facts;
    this.numbers = overview.numbers;
    this.clusters = overview.clusters;
    this.command = overview.command;
    this.columns = overview.columns > 0;
    this.faces = new Faces(overview);
    this.crops = new Crops(overview.crops);
    this.layerOf = unpack(units.layer) as Uint16Array;
    this.indexOf = unpack(units.index) as Uint32Array;
    this.positions = this.plane = unpack(units.positions) as Float32Array;
    this.score = unpack(units.score) as Float32Array;
    this.statusCode = unpack(units.status) as Uint8Array;
    this.pictured = unpack(units.pictures) as Uint32Array;
    this.reasons = new Map(overview.reasons);
    for (const [unit, row, column] of units.places) this.places.set(unit, `@${row},${column}`);
    this.excitedUnits = unpack(overview.excited) as Int32Array;
    this.pictureRank = new Uint32Array(this.count);
    this.pictured.forEach((unit, rank) => (this.pictureRank[unit] = rank + 1));
    const sheeted = unpack(overview.sheeted) as Uint32Array;
    let start = 0;
    this.sheets = overview.sheets.map((size) => sheeted.subarray(start, (start += size)));
    this.layers = overview.layers.map(([name, kind, size, shape, field]) => ({
      name: wellFormed(name), kind, units: size, shape, field, members: [], pictured: 0,
    }));
    for (let unit = 0; unit < this.count; unit++) {
      const layer = this.layers[this.layerOf[unit]];
      layer.members.push(unit);
      if (this.pictureRank[unit]) layer.pictured++;
    }
    this.layers.forEach((layer, number) => {
      layer.members.sort((a, b) => this.indexOf[a] - this.indexOf[b] || a - b);
      this.layerNumbers.set(layer.name, number);
    });
    this.stimuli.forEach(({ name }, number) => {
      if (!this.stimulusNumbers.has(name)) this.stimulusNumbers.set(name, number);
    });
  }

  /** Take in a stimulus that was shown to the network just now; its number. */
  add(name: string, passing: Passing): number {
    let free = name;
    for (let k = 2; this.stimulusNumbers.has(free); k++) free = `${name} (${k})`;
    const number = this.stimuli.push({ name: free, label: "" }) - 1;
    this.stimulusNumbers.set(free, number);
    this.passing.set(number, passing);
    return number;
  }

  address(unit: number): string {
    return `${this.layers[this.layerOf[unit]].name}:${this.indexOf[unit]}${this.places.get(unit) ?? ""}`;
  }

  /** The unit of an address. A layer's units are in the order of their index, so it is found by halving. */
  find(address: string): number | null {
    const colon = address.lastIndexOf(":");
    const members = this.layers[this.layerNumber(address.slice(0, colon)) ?? -1]?.members;
    const index = /^\d+/.exec(address.slice(colon + 1))?.[0];
    if (!members || index === undefined) return null;
    let [low, high] = [0, members.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.indexOf[members[middle]] < Number(index)) low = middle + 1;
      else high = middle;
    }
    for (; low < members.length && this.indexOf[members[low]] === Number(index); low++) {
      if (this.address(members[low]) === address) return members[low];
    }
    return null;
  }

  layerNumber(name: string): number | null {
    return this.layerNumbers.get(name) ?? null;
  }

  stimulusNumber(name: string): number | null {
    return this.stimulusNumbers.get(name) ?? null;
  }

  /** Every word that a status may be. */
  get words(): string[] {
    return this.overview.words;
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
    return this.pictureRank[unit] > 0;
  }

  /** The rendered units that a stimulus excites most, against what else excites them. */
  excited(stimulus: number): number[] {
    const passing = this.passing.get(stimulus);
    if (passing) {
      return passing.strongest.filter(({ unit }) => this.isPictured(unit)).sort((a, b) => b.score - a.score)
        .slice(0, this.overview.named).map(({ unit }) => unit);
    }
    const { named } = this.overview;
    return Array.from(this.excitedUnits.subarray(stimulus * named, (stimulus + 1) * named)).filter((unit) => unit >= 0);
  }

  /** The picture of a unit, as an address for an image. */
  async picture(unit: number): Promise<string> {
    return image("pictures", this.pictureRank[unit] - 1, this.overview.pack);
  }

  async stimulusPicture(stimulus: number): Promise<string> {
    const passing = this.passing.get(stimulus);
    if (passing) return passing.picture;
    return image("stimuli", stimulus, this.overview.stimulusPack);
  }

  /** One code a unit: its response to the stimulus between its 1st (0) and 99th (254) percentile. */
  async responses(stimulus: number): Promise<Uint8Array> {
    const passing = this.passing.get(stimulus);
    if (passing) return passing.codes;
    const { rows } = this.overview;
    const chunk = Math.floor(stimulus / rows);
    const codes = await once(`codes-${chunk}`, async () => unpack((await load(`responses-${chunk}`)) as Packed), 200);
    const start = (stimulus - chunk * rows) * this.count;
    return (codes as Uint8Array).subarray(start, start + this.count);
  }

  /** One code a stimulus: the unit's response between its least (0) and its greatest (254). */
  async tuning(unit: number): Promise<Uint8Array> {
    const { columns, stimuli } = this.overview; // `this.stimuli` may have grown
    const chunk = Math.floor(unit / columns);
    const codes = await once(`tuning-${chunk}`, async () => unpack((await load(`columns-${chunk}`)) as Packed), 8);
    const start = (unit - chunk * columns) * stimuli.length;
    return (codes as Uint8Array).subarray(start, start + stimuli.length);
  }

  /** For each layer the units that a stimulus drives farthest above their mean, in standard deviations. */
  async strongest(stimulus: number): Promise<Excited[][]> {
    const { strong, strongest, layers } = this.overview;
    const passing = this.passing.get(stimulus)?.strongest;
    if (passing) return layers.map((_, layer) => passing.filter(({ unit }) => this.layerOf[unit] === layer));
    const chunk = Math.floor(stimulus / strong);
    const block = await once(`strong-${chunk}`, async () => {
      const raw = (await load(`strongest-${chunk}`)) as { units: Packed; scores: Packed };
      return { units: unpack(raw.units) as Int32Array, scores: unpack(raw.scores) as Float32Array };
    }, 4);
    return layers.map((_, layer) => {
      const start = ((stimulus - chunk * strong) * layers.length + layer) * strongest;
      return Array.from({ length: strongest }, (_, k) => ({ unit: block.units[start + k], score: block.scores[start + k] }))
        .filter(({ unit }) => unit >= 0);
    });
  }

  /** A column of the unit table. */
  async number(name: string): Promise<Float32Array> {
    if (name === "Score") return this.score;
    const place = this.numbers.indexOf(name);
    return once(`column-${place}`, async () => unpack((await load(`number-${place}`)) as Packed) as Float32Array);
  }

  /** The patch of the map that each unit lies in, -1 for none. */
  clusterOf(): Promise<Int32Array> {
    return once("patches", async () => unpack((await load("clusters")) as Packed) as Int32Array);
  }

  /** Where each unit lies when the map is drawn out to a disc. */
  circle(): Promise<Float32Array> {
    return once("disc", async () => unpack((await load("circle")) as Packed) as Float32Array);
  }

  async detail(unit: number): Promise<Detail> {
    const chunk = Math.floor(unit / this.overview.details);
    const block = await once(`block-${chunk}`, async () => unpackDetails(await load(`details-${chunk}`)), 64);
    const row = unit - chunk * this.overview.details;
    const { best, neighbours } = this.overview;
    const answers = (stimuli: Int32Array, values: Float32Array): Answer[] =>
      Array.from({ length: best }, (_, k) => ({ stimulus: stimuli[row * best + k], value: values[row * best + k] }))
        .filter(({ stimulus }) => stimulus >= 0);
    const detail: Detail = {
      neighbours: [], best: answers(block.stimuli, block.values), worst: answers(block.worst, block.worstValues),
      low: block.low[row], high: block.high[row], least: block.least[row], most: block.most[row],
      curve: block.curves.get(unit) ?? null,
    };
    for (let k = row * neighbours; k < (row + 1) * neighbours; k++) {
      const other = block.neighbours[k];
      if (other >= 0) detail.neighbours.push({ unit: other, correlation: block.correlations[k] });
    }
    return detail;
  }

  /** One sheet of thumbnails, decoded. */
  async sheet(number: number): Promise<Sheet> {
    const raw = (await load(`sprites-${number}`)) as { cell: number; columns: number; image: string };
    const image = new Image();
    image.src = raw.image;
    await image.decode();
    return { number, cell: raw.cell, columns: raw.columns, units: this.sheets[number], image };
  }
}

/** The overview, the first part to be read. */
export async function readOverview(): Promise<Atlas> {
  return new Atlas((await load("scene")) as Overview);
}
