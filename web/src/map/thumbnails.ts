/** Which pictures stand in for dots, for one camera. */

import type { App } from "../app";
import type { Sheet } from "../data";
import type { Rgb } from "../palette";
import { toMap, type Camera, type Size } from "./camera";
import { appearances, BEGIN, shuffled, thumbnailSize } from "./detail";
import type { Dots, Thumbnail } from "./frame";
import type { Grid } from "./grid";

const FADE = 0.2;
/** Sheets in memory, of up to 16 MiB each. */
const SHEETS = 14;
const AT_ONCE = 2;

export class Thumbnails {
  /** The sheets in memory, the one longest out of use first, and those that are on their way. */
  private readonly ready = new Map<number, Sheet>();
  private readonly coming = new Set<number>();
  private readonly sheetOf: Int16Array;
  private appear: Float32Array = new Float32Array(0);
  private home = NaN;
  /** The place of each unit among the dots, from 1; 0 for none. */
  private places = new Uint32Array(0);
  private grid: Grid | null = null;
  private dots: Dots | null = null;

  /** `add` and `remove` are told which sheets a renderer needs. */
  constructor(private readonly app: App, private readonly add: (sheet: Sheet) => void, private readonly remove: (sheet: Sheet) => void) {
    this.sheetOf = new Int16Array(app.atlas.count).fill(-1);
    app.atlas.sheets.forEach((units, number) => units.forEach((unit) => (this.sheetOf[unit] = number)));
    if (app.atlas.sheets.length) this.fetch(0);
  }

  get sheets(): Sheet[] {
    return [...this.ready.values()];
  }

  /** Whether the picture of a unit is in memory; if not, it is sent for. */
  private has(unit: number): boolean {
    const number = this.sheetOf[unit];
    if (number < 0) return false;
    const sheet = this.ready.get(number);
    if (!sheet) {
      this.fetch(number);
      return false;
    }
    this.ready.delete(number);
    this.ready.set(number, sheet);
    return true;
  }

  private fetch(number: number): void {
    if (this.coming.has(number) || this.coming.size >= AT_ONCE) return;
    this.coming.add(number);
    this.app.atlas.sheet(number).then((sheet) => {
      this.coming.delete(number);
      for (const old of [...this.ready.values()].slice(0, Math.max(0, this.ready.size - SHEETS + 1))) {
        if (old.number === 0 && this.ready.size < 2 * SHEETS) continue;
        this.ready.delete(old.number);
        this.remove(old);
      }
      this.ready.set(number, sheet);
      this.add(sheet);
    }, (error: unknown) => console.error(error));
  }

  /** The thumbnail of a unit, cut out of its sheet; null where that is not in memory. */
  cut(unit: number): HTMLCanvasElement | null {
    const sheet = this.ready.get(this.sheetOf[unit]);
    if (!sheet) return null;
    const { cell, columns } = sheet;
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = cell;
    const place = sheet.units.indexOf(unit);
    canvas.getContext("2d")?.drawImage(sheet.image, (place % columns) * cell, Math.floor(place / columns) * cell, cell, cell, 0, 0, cell, cell);
    return canvas;
  }

  /** The dots that pictures take the place of, in their present colours. */
  setDots(dots: Dots, grid: Grid): void {
    if (grid !== this.grid) this.home = NaN;
    this.dots = dots;
    this.grid = grid;
    this.places = new Uint32Array(this.app.atlas.count);
    dots.units.forEach((unit, place) => (this.places[unit] = place + 1));
  }

  /** Those in view, and the marked units on top of them; `accent` frames the open unit. */
  visible(camera: Camera, size: Size, home: number, marked: { open: number | null; hovered: number | null; accent: Rgb }): Thumbnail[] {
    if (!this.grid) return [];
    const beyond = camera.zoom - home;
    const side = thumbnailSize(beyond);
    const found = new Map<number, Thumbnail>();
    if (beyond >= BEGIN) {
      this.prepare(home);
      const [x0, y1] = toMap(camera, size, -side, -side);
      const [x1, y0] = toMap(camera, size, size.width + side, size.height + side);
      this.grid.visit(x0, y0, x1, y1, (unit) => {
        const age = beyond - this.appear[unit];
        if (age >= 0 && this.has(unit)) found.set(unit, this.item(unit, side, Math.min(1, 0.25 + age / FADE)));
      });
    }
    for (const unit of [marked.open, marked.hovered]) {
      if (unit === null || !this.has(unit) || !this.app.atlas.placed(unit)) continue;
      found.delete(unit);
      const frame = unit === marked.open ? { frame: marked.accent } : {};
      found.set(unit, { ...this.item(unit, Math.max(side * 1.15, 56), 1), ...frame, frameWidth: 3, top: true });
    }
    return [...found.values()];
  }

  private item(unit: number, size: number, alpha: number): Thumbnail {
    const { positions } = this.app.atlas;
    const [x, y] = [positions[2 * unit], positions[2 * unit + 1]];
    return { unit, x, y, size, alpha, frame: this.colour(unit), frameWidth: 2, top: false };
  }

  private prepare(home: number): void {
    if (Math.abs(this.home - home) < 0.02 || !this.dots || !this.app.atlas.sheets.length) return;
    const { atlas } = this.app;
    const [first, ...others] = atlas.sheets;
    const units = [...shuffled(first), ...others.flatMap((sheet) => [...sheet])].filter((unit) => this.places[unit]);
    this.appear = appearances(units, atlas.positions, home, atlas.count);
    this.home = home;
  }

  private colour(unit: number): Rgb {
    const place = this.places[unit] - 1;
    if (place < 0 || !this.dots) return [127, 127, 127];
    const [r, g, b] = this.dots.colours.subarray(4 * place, 4 * place + 3);
    return [r, g, b];
  }
}
