/** Stimuli that were shown to the network while the page was open: they have codes of their own and are in no part. */

/** A unit, and how many standard deviations a stimulus drives it above its mean. */
export interface Excited {
  unit: number;
  score: number;
}

export interface Passing {
  codes: Uint8Array;
  /** Its picture, as an address for an image. */
  picture: string;
  /** Of each layer the units that stand out. */
  strongest: Excited[];
}

export class PassingStimuli {
  private readonly known = new Map<number, Passing>();
  private readonly listeners = new Map<number, ((picture: string) => void)[]>();

  get(stimulus: number): Passing | undefined {
    return this.known.get(stimulus);
  }

  /** Take one in, or give one another picture; the address of the one before. */
  set(stimulus: number, passing: Passing): string {
    const before = this.known.get(stimulus)?.picture ?? "";
    this.known.set(stimulus, passing);
    for (const listener of this.listeners.get(stimulus) ?? []) listener(passing.picture);
    return before;
  }

  /** Call back when it has another picture. */
  onChange(stimulus: number, listener: (picture: string) => void): void {
    this.listeners.set(stimulus, [...(this.listeners.get(stimulus) ?? []), listener]);
  }
}
