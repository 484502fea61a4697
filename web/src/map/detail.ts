/** Which units are pictures at which zoom: as many as fit without covering each other, and once seen, seen for good. */

/** Doublings beyond the whole map at which pictures begin. */
export const BEGIN = 0.6;
const STEP = 0.25;
const DEEPEST = 9.25;
const SMALLEST = 34;
const LARGEST = 128;
const GAP = 1.12;

/** Pixels of a picture, `beyond` doublings past the zoom that shows the whole map. */
export function thumbnailSize(beyond: number): number {
  return Math.min(Math.max(SMALLEST * 2 ** (0.42 * (beyond - BEGIN)), SMALLEST), LARGEST);
}

/**
 * For each unit the doublings beyond `home` from which it is a picture, Infinity for never.
 *
 * Level by level, units enter in the order given where there is room for them; deeper levels have more room,
 * because positions spread faster than pictures grow.
 */
export function appearances(units: ArrayLike<number>, positions: Float32Array, home: number, total: number): Float32Array {
  const appear = new Float32Array(total).fill(Infinity);
  let waiting: number[] = Array.from(units);
  const placed: number[] = [];
  for (let beyond = BEGIN; beyond <= DEEPEST && waiting.length; beyond += STEP) {
    const room = (GAP * thumbnailSize(beyond)) / 2 ** (home + beyond);
    const taken = new Map<number, number[]>();
    const key = (x: number, y: number): number => (Math.floor(x / room) + 32768) * 65536 + Math.floor(y / room) + 32768;
    const enter = (unit: number): void => {
      const cell = key(positions[2 * unit], positions[2 * unit + 1]);
      const there = taken.get(cell);
      if (there) there.push(unit);
      else taken.set(cell, [unit]);
    };
    const free = (unit: number): boolean => {
      const [x, y] = [positions[2 * unit], positions[2 * unit + 1]];
      for (let dx = -1; dx <= 1; dx++) {
        for (let dy = -1; dy <= 1; dy++) {
          for (const other of taken.get(key(x + dx * room, y + dy * room)) ?? []) {
            if (Math.abs(positions[2 * other] - x) < room && Math.abs(positions[2 * other + 1] - y) < room) return false;
          }
        }
      }
      return true;
    };
    placed.forEach(enter);
    const left: number[] = [];
    for (const unit of waiting) {
      if (!free(unit)) {
        left.push(unit);
        continue;
      }
      enter(unit);
      placed.push(unit);
      appear[unit] = beyond;
    }
    waiting = left;
  }
  for (const unit of waiting) appear[unit] = DEEPEST;
  return appear;
}

/** The same shuffle every time, so that a layer listed first has no better seat. */
export function shuffled(units: ArrayLike<number>): number[] {
  const rank = (unit: number): number => Math.imul(unit + 1, 0x9e3779b1) >>> 0;
  return Array.from(units).sort((a, b) => rank(a) - rank(b));
}
