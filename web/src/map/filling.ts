/** The picture that fills the map in place of dots, where the reader wants one and there are numbers. */

import type { App } from "../app";
import type { Grid } from "./grid";
import { Raster } from "./raster";
import type { Shown } from "./shown";

export class Filling {
  picture: HTMLCanvasElement | null = null;
  private raster: Raster | null = null;

  constructor(private readonly app: App) {}

  /** Draw it anew: by the nearest unit or by mixtures; which units a pixel shows is worked out when the units change. */
  update(shown: Shown | null, grid: Grid | null): void {
    const { fill } = this.app.route;
    this.picture = null;
    if (fill === "points" || !shown || !grid) return;
    if (this.raster?.grid !== grid) this.raster = new Raster(this.app, grid);
    this.picture = this.raster.draw(shown, shown.kind === "patch" ? "nearest" : fill);
  }
}
