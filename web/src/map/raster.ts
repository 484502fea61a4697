/**
 * The map filled: each pixel shows the nearest unit, or a mixture of the three units around it, within the convex hull.
 * The same as `maps/raster.py` draws. Which units a pixel shows is worked out once; another stimulus is a look-up.
 */

import { Delaunay } from "d3-delaunay";
import type { App } from "../app";
import { shownUnits } from "./colours";
import type { Grid } from "./grid";
import { colourOf, NONE, type Shown } from "./shown";

/** Pixels along one side. */
const SIDE = 640;

export class Raster {
  private readonly units: Uint32Array;
  private readonly mesh: Delaunay<number>;
  /** For each pixel the triangle that it lies in, -1 outside all. */
  private readonly triangle = new Int32Array(SIDE * SIDE).fill(-1);
  /** For each pixel in a triangle the place of the nearest unit. */
  private readonly owner = new Uint32Array(SIDE * SIDE);

  constructor(app: App, readonly grid: Grid | null) {
    this.units = shownUnits(app);
    const { positions } = app.atlas;
    this.mesh = new Delaunay(Float64Array.from({ length: 2 * this.units.length }, (_, k) => positions[2 * this.units[k >> 1] + (k & 1)]));
    this.cover();
    let last = 0;
    for (let pixel = 0; pixel < SIDE * SIDE; pixel++) {
      if (this.triangle[pixel] >= 0) this.owner[pixel] = last = this.mesh.find(across(pixel % SIDE), up(Math.floor(pixel / SIDE)), last);
    }
  }

  /** A picture of -1..1 either way, the highest y in its first row. */
  draw(shown: Shown, fill: "nearest" | "linear"): HTMLCanvasElement {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIDE;
    const context = canvas.getContext("2d");
    const image = new ImageData(SIDE, SIDE);
    for (let pixel = 0; pixel < SIDE * SIDE; pixel++) {
      if (this.triangle[pixel] < 0) continue;
      const value = fill === "nearest" ? shown.values[this.units[this.owner[pixel]]] : this.mixed(pixel, shown.values);
      const [r, g, b] = Number.isFinite(value) ? colourOf(shown, value) : NONE;
      image.data.set([r, g, b, 255], 4 * pixel);
    }
    context?.putImageData(image, 0, 0);
    return canvas;
  }

  /** The number at a place of the map, by the mixture of the three units around it. */
  private mixed(pixel: number, values: Float32Array): number {
    const corners = this.corners(this.triangle[pixel]);
    const shares = weights(corners.map((place) => this.point(place)), across(pixel % SIDE), up(Math.floor(pixel / SIDE)));
    return corners.reduce((sum, place, k) => sum + shares[k] * values[this.units[place]], 0);
  }

  private corners(triangle: number): number[] {
    return [0, 1, 2].map((k) => this.mesh.triangles[3 * triangle + k]);
  }

  private point(place: number): [number, number] {
    return [this.mesh.points[2 * place], this.mesh.points[2 * place + 1]];
  }

  /** Find the pixels of every triangle. */
  private cover(): void {
    for (let triangle = 0; triangle < this.mesh.triangles.length / 3; triangle++) {
      const points = this.corners(triangle).map((place) => this.point(place));
      const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
      const [left, right] = [Math.ceil(column(Math.min(...xs))), Math.floor(column(Math.max(...xs)))];
      const [top, bottom] = [Math.ceil(row(Math.max(...ys))), Math.floor(row(Math.min(...ys)))];
      for (let y = Math.max(top, 0); y <= Math.min(bottom, SIDE - 1); y++) {
        for (let x = Math.max(left, 0); x <= Math.min(right, SIDE - 1); x++) {
          if (weights(points, across(x), up(y)).every((share) => share >= -1e-9)) this.triangle[y * SIDE + x] = triangle;
        }
      }
    }
  }
}

/** The shares of three corners in a place: they are all at least 0 where it lies among them. */
function weights([[ax, ay], [bx, by], [cx, cy]]: [number, number][], x: number, y: number): number[] {
  const area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy);
  const first = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / area;
  const second = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / area;
  return [first, second, 1 - first - second];
}

/** The place on the map of the middle of a column or row of pixels, and the inverse. */
const across = (column: number): number => ((column + 0.5) / SIDE) * 2 - 1;
const up = (row: number): number => 1 - ((row + 0.5) / SIDE) * 2;
const column = (x: number): number => ((x + 1) / 2) * SIDE - 0.5;
const row = (y: number): number => ((1 - y) / 2) * SIDE - 0.5;
