/** The other pictures of units, as `neuronatlas/view/faces.py` writes them: what lowers a unit most, and several that raise it. */

import { image, type Overview } from "./parts";
import { load, once, unpack, type Packed } from "./scripts";

/** Packs of several pictures a unit in memory at a time. */
const PACKS = 24;

/** A picture as an address for an image, and the value of its unit there. */
export interface Face {
  score: number;
  picture: string;
}

export class Faces {
  private readonly lowered: Map<number, number>;
  private readonly scores: Float32Array;
  private readonly varied: Map<number, number>;
  private readonly counts: Uint8Array;

  constructor(private readonly overview: Pick<Overview, "negatives" | "diverse">) {
    const { negatives, diverse } = overview;
    this.lowered = ranks(negatives.units);
    this.scores = unpack(negatives.scores) as Float32Array;
    this.varied = ranks(diverse.units);
    this.counts = unpack(diverse.counts) as Uint8Array;
  }

  /** The value of a unit in the picture that lowers it; null where there is none. */
  lowest(unit: number): number | null {
    const rank = this.lowered.get(unit);
    return rank === undefined ? null : this.scores[rank];
  }

  /** The picture that lowers a unit that has one. */
  negative(unit: number): Promise<string> {
    return image("negatives", this.lowered.get(unit) ?? 0, this.overview.negatives.pack);
  }

  /** How many pictures of a unit there are that are unlike each other. */
  several(unit: number): number {
    const rank = this.varied.get(unit);
    return rank === undefined ? 0 : this.counts[rank];
  }

  /** These pictures. */
  async diverse(unit: number): Promise<Face[]> {
    const rank = this.varied.get(unit);
    if (rank === undefined) return [];
    const { pack } = this.overview.diverse;
    const chunk = Math.floor(rank / pack);
    const sets = await once(`diverse-${chunk}`, async () => (await load(`diverse-${chunk}`)) as { scores: Packed; images: string[] }[], PACKS);
    const { scores, images } = sets[rank - chunk * pack];
    const values = unpack(scores) as Float32Array;
    return images.map((each, k) => ({ score: values[k], picture: `data:image/webp;base64,${each}` }));
  }
}

/** The place of each unit in a column of them. */
export function ranks(units: Packed): Map<number, number> {
  return new Map(Array.from(unpack(units), (unit, rank) => [unit, rank]));
}
