/** What units see of their best and worst stimuli, as `neuronatlas/view/crops.py` writes it. */

import { ranks } from "./more";
import type { Overview } from "./parts";
import { load, once } from "./scripts";

/** Packs in memory at a time. */
const PACKS = 24;

/** Top, left, bottom and right in pixels of the network's input. */
type Box = [number, number, number, number];

export interface Crop {
  box: Box;
  /** That part, as an address for an image. */
  picture: string;
}

/** By the number of the stimulus. */
export interface Seen {
  best: Map<number, Crop>;
  worst: Map<number, Crop>;
}

export class Crops {
  /** How many stimuli there are crops of, of the best and of the worst, at most. */
  static readonly KEPT = 4;
  private readonly places: Map<number, number>;

  constructor(private readonly overview: Overview["crops"]) {
    this.places = ranks(overview.units);
  }

  has(unit: number): boolean {
    return this.places.has(unit);
  }

  /** What a unit sees; nothing where there are no crops of it. */
  async of(unit: number): Promise<Seen> {
    const place = this.places.get(unit);
    if (place === undefined) return { best: new Map(), worst: new Map() };
    const { pack } = this.overview;
    const chunk = Math.floor(place / pack);
    const units = await once(`crops-${chunk}`, async () => (await load(`crops-${chunk}`)) as [number, Box, string][][][], PACKS);
    const [best, worst] = units[place - chunk * pack].map((side) => new Map(
      side.map(([stimulus, box, image]) => [stimulus, { box, picture: `data:image/webp;base64,${image}` }])));
    return { best, worst };
  }

  /** Where a box lies in the picture of a stimulus, a square from the middle of the input; parts of its side. */
  within([top, left, bottom, right]: Box): Box {
    const [height, width] = this.overview.size;
    const side = Math.min(height, width);
    const [above, before] = [Math.floor((height - side) / 2), Math.floor((width - side) / 2)];
    const part = (length: number): number => Math.min(1, Math.max(0, length / side));
    return [part(top - above), part(left - before), part(bottom - above), part(right - before)];
  }
}
