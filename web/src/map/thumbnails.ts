/** Which pictures stand in for dots, for one camera. */

import type { App } from "../app";
import type { Rgb } from "../palette";
import { toMap, type Camera, type Size } from "./camera";
import { appearances, BEGIN, thumbnailSize } from "./detail";
import type { Dots, Thumbnail } from "./frame";
import type { Grid } from "./grid";

const FADE = 0.2;

export class Thumbnails {
  /** Units whose picture is in memory. */
  private readonly ready = new Set<number>();
  private appear: Float32Array = new Float32Array(0);
  private home = NaN;
  private places = new Map<number, number>();
  private grid: Grid | null = null;
  private dots: Dots | null = null;

  constructor(private readonly app: App) {}

  add(units: Uint32Array): void {
    for (const unit of units) this.ready.add(unit);
  }

  /** The dots that pictures take the place of, in their present colours. */
  setDots(dots: Dots, grid: Grid): void {
    if (grid !== this.grid) this.home = NaN;
    this.dots = dots;
    this.grid = grid;
    this.places = new Map();
    dots.units.forEach((unit, place) => this.places.set(unit, place));
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
        if (age >= 0 && this.ready.has(unit)) found.set(unit, this.item(unit, side, Math.min(1, 0.25 + age / FADE)));
      });
    }
    for (const unit of [marked.open, marked.hovered]) {
      if (unit === null || !this.ready.has(unit) || !this.app.atlas.placed(unit)) continue;
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
    if (Math.abs(this.home - home) < 0.02 || !this.dots) return;
    const { atlas } = this.app;
    const units = this.dots.units.filter((unit) => atlas.isPictured(unit));
    this.appear = appearances(units, atlas.positions, home, atlas.count);
    this.home = home;
  }

  private colour(unit: number): Rgb {
    const place = this.places.get(unit);
    if (place === undefined || !this.dots) return [127, 127, 127];
    const [r, g, b] = this.dots.colours.subarray(4 * place, 4 * place + 3);
    return [r, g, b];
  }
}
