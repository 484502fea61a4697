/** Units by place, to find the one under the pointer without asking the graphics card. */

const SIDE = 96;

export class Grid {
  private readonly start = new Uint32Array(SIDE * SIDE + 1);
  private readonly sorted: Uint32Array;

  /** `positions` holds two numbers a unit; `units` says which of them count. */
  constructor(private readonly positions: Float32Array, units: ArrayLike<number>) {
    const cells = Uint16Array.from(units, (unit) => this.cell(positions[2 * unit], positions[2 * unit + 1]));
    for (const cell of cells) this.start[cell + 1]++;
    for (let k = 0; k < SIDE * SIDE; k++) this.start[k + 1] += this.start[k];
    const next = this.start.slice();
    this.sorted = new Uint32Array(units.length);
    for (let k = 0; k < units.length; k++) this.sorted[next[cells[k]]++] = units[k];
  }

  /** The nearest unit no farther than `reach` from (x, y), or null; of equally near ones the one listed first. */
  nearest(x: number, y: number, reach: number): number | null {
    let found: number | null = null;
    let least = reach * reach;
    this.visit(x - reach, y - reach, x + reach, y + reach, (unit) => {
      const dx = this.positions[2 * unit] - x;
      const dy = this.positions[2 * unit + 1] - y;
      const distance = dx * dx + dy * dy;
      if (distance < least || (distance === least && found === null)) {
        least = distance;
        found = unit;
      }
    });
    return found;
  }

  /** The units inside a polygon, by the even-odd rule, in order. */
  inside(corners: [number, number][]): number[] {
    const found: number[] = [];
    const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
    this.visit(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), (unit) => {
      const [x, y] = [this.positions[2 * unit], this.positions[2 * unit + 1]];
      let odd = false;
      for (let a = 0, b = corners.length - 1; a < corners.length; b = a++) {
        if (ys[a] > y !== ys[b] > y && x < xs[a] + ((y - ys[a]) / (ys[b] - ys[a])) * (xs[b] - xs[a])) odd = !odd;
      }
      if (odd) found.push(unit);
    });
    return found.sort((a, b) => a - b);
  }

  /** Every unit in a cell that touches the rectangle. */
  visit(x0: number, y0: number, x1: number, y1: number, each: (unit: number) => void): void {
    const [left, right, low, high] = [index(x0), index(x1), index(y0), index(y1)];
    for (let row = low; row <= high; row++) {
      for (let k = this.start[row * SIDE + left]; k < this.start[row * SIDE + right + 1]; k++) each(this.sorted[k]);
    }
  }

  private cell(x: number, y: number): number {
    return index(y) * SIDE + index(x);
  }
}

function index(value: number): number {
  return Math.min(Math.max(Math.floor(((value + 1) / 2) * SIDE), 0), SIDE - 1);
}
