/** What one drawing of the map holds. Renderers get frames and nothing else. */

import type { Sheet } from "../data";
import type { Rgb } from "../palette";
import type { Camera } from "./camera";

/** All dots, in drawing order. The object is replaced, never changed, so that a renderer knows when to upload it. */
export interface Dots {
  units: Uint32Array;
  positions: Float32Array;
  /** Four bytes a dot. */
  colours: Uint8Array;
}

/** A picture in place of a dot; sizes in pixels. */
export interface Thumbnail {
  unit: number;
  x: number;
  y: number;
  size: number;
  alpha: number;
  frame: Rgb;
  frameWidth: number;
  /** Drawn over all others. */
  top: boolean;
}

export interface Ring {
  x: number;
  y: number;
  radius: number;
}

export interface Link {
  from: [number, number];
  to: [number, number];
  alpha: number;
}

export interface Frame {
  camera: Camera;
  width: number;
  height: number;
  dots: Dots;
  /** One in so many dots is drawn, while the map moves and there are very many. */
  stride: number;
  /** What fills the map from -1 to 1 either way, in place of dots. */
  picture: HTMLCanvasElement | null;
  radius: number;
  /** A hairline around each dot, so that none melts into the background. */
  outline: Rgb;
  accent: Rgb;
  /** What lies behind everything. */
  ground: Rgb;
  thumbnails: Thumbnail[];
  rings: Ring[];
  links: Link[];
}

export interface Renderer {
  readonly name: "webgl" | "canvas";
  draw(frame: Frame): void;
  addSheet(sheet: Sheet): void;
  removeSheet(sheet: Sheet): void;
  destroy(): void;
}
