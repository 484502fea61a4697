/** Where the map is looked at from: a centre in map units and a zoom, log2 of pixels a map unit. y points up. */

export interface Camera {
  x: number;
  y: number;
  zoom: number;
}

export interface Size {
  width: number;
  height: number;
}

const MARGIN = 36;
const DEEPEST = 9;

/** The camera that sees everything between -1 and 1. */
export function fit(size: Size): Camera {
  const side = Math.max(40, Math.min(size.width, size.height) - 2 * MARGIN);
  return { x: 0, y: 0, zoom: Math.log2(side / 2) };
}

export function toScreen(camera: Camera, size: Size, x: number, y: number): [number, number] {
  const scale = 2 ** camera.zoom;
  return [(x - camera.x) * scale + size.width / 2, (camera.y - y) * scale + size.height / 2];
}

export function toMap(camera: Camera, size: Size, left: number, top: number): [number, number] {
  const scale = 2 ** camera.zoom;
  return [(left - size.width / 2) / scale + camera.x, camera.y - (top - size.height / 2) / scale];
}

/** Zoom by `step` doublings with the point under the pointer held still. */
export function zoomAt(camera: Camera, size: Size, step: number, left: number, top: number): Camera {
  const [x, y] = toMap(camera, size, left, top);
  const zoom = clampZoom(camera.zoom + step, size);
  const shrink = 2 ** (camera.zoom - zoom);
  return bound({ x: x + (camera.x - x) * shrink, y: y + (camera.y - y) * shrink, zoom });
}

export function pan(camera: Camera, left: number, top: number): Camera {
  const scale = 2 ** camera.zoom;
  return bound({ ...camera, x: camera.x - left / scale, y: camera.y + top / scale });
}

export function clampZoom(zoom: number, size: Size): number {
  const home = fit(size).zoom;
  return Math.min(Math.max(zoom, home - 1), home + DEEPEST);
}

/** Part of the way from one camera to another; the zoom runs evenly, the centre follows it. */
export function between(from: Camera, to: Camera, share: number): Camera {
  const zoom = from.zoom + (to.zoom - from.zoom) * share;
  const [a, b, c] = [2 ** -from.zoom, 2 ** -to.zoom, 2 ** -zoom];
  const moved = Math.abs(a - b) < 1e-12 ? share : (a - c) / (a - b);
  return { x: from.x + (to.x - from.x) * moved, y: from.y + (to.y - from.y) * moved, zoom };
}

function bound(camera: Camera): Camera {
  const keep = (value: number): number => Math.min(Math.max(value, -1.2), 1.2);
  return { x: keep(camera.x), y: keep(camera.y), zoom: camera.zoom };
}
