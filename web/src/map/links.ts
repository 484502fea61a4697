/** What marks units on the map: lines from the open one to those that fire with it, and rings. */

import type { Atlas } from "../data";
import type { Link, Ring, Thumbnail } from "./frame";

const MOST = 8;

export async function linksOf(atlas: Atlas, unit: number): Promise<Link[]> {
  const { positions } = atlas;
  const place = (index: number): [number, number] => [positions[2 * index], positions[2 * index + 1]];
  const { neighbours } = await atlas.detail(unit);
  return neighbours.filter((other) => atlas.placed(other.unit)).slice(0, MOST).map((other) => (
    { from: place(unit), to: place(other.unit), alpha: Math.min(Math.max(other.correlation, 0.15), 1) * 0.8 }
  ));
}

/** Rings around units that have a place and are no picture. */
export function ringsOf(atlas: Atlas, units: (number | null)[], pictures: Thumbnail[]): Ring[] {
  const seen = new Set(pictures.map((item) => item.unit));
  return units.filter((unit): unit is number => unit !== null && atlas.placed(unit) && !seen.has(unit)).map((unit) => (
    { x: atlas.positions[2 * unit], y: atlas.positions[2 * unit + 1], radius: 11 }
  ));
}
