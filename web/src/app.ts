/** What every part of the page shares: the atlas, where the reader is, and word of both changing. */

import type { Atlas } from "./data";
import { format, parse, type Place, type Route } from "./route";

type Listener = (route: Route, before: Route) => void;

export class App {
  route: Route;
  /** The last place that was not a unit: a unit's card lies over it, and closing the card leads back. */
  background: Place = { at: "map" };
  private readonly listeners: Listener[] = [];
  private hash: string;

  constructor(readonly atlas: Atlas) {
    this.hash = location.hash;
    this.route = parse(this.hash, atlas);
    this.remember();
    addEventListener("hashchange", () => this.follow());
  }

  /** Call back after each change, and once now. */
  watch(listener: Listener): void {
    this.listeners.push(listener);
    listener(this.route, this.route);
  }

  /** The address of a change from here, for links. */
  link(change: Partial<Route>): string {
    return format({ ...this.route, ...change }, this.atlas);
  }

  /** Go there; `replace` leaves no step behind for the back button. */
  go(change: Partial<Route>, replace = false): void {
    const hash = this.link(change);
    if (hash === location.hash) return;
    if (replace) location.replace(hash);
    else location.hash = hash;
    this.follow();
  }

  openUnit(unit: number, replace = false): void {
    this.go({ place: { at: "unit", unit } }, replace);
  }

  openLayer(layer: number, replace = false): void {
    this.go({ place: { at: "layer", layer } }, replace);
  }

  /** Close the card that is open. */
  closeUnit(): void {
    if (this.route.place.at === "unit") this.go({ place: this.background });
  }

  get unit(): number | null {
    return this.route.place.at === "unit" ? this.route.place.unit : null;
  }

  /** The unit `step` places on, in the order of the atlas; the first one when none is open. */
  stepUnit(step: number): void {
    const { atlas, unit } = this;
    if (!atlas.count) return;
    if (unit === null) return this.openUnit(0);
    const { members } = atlas.layers[atlas.layerOf[unit]];
    const next = members[members.indexOf(unit) + step];
    if (next !== undefined) this.openUnit(next, true);
    else this.stepLayer(step, step < 0);
  }

  /** The next or previous layer: its grid from a grid, else its first (or last) unit. */
  stepLayer(step: number, last = false): void {
    const { atlas, unit, route } = this;
    if (route.place.at === "layer") {
      const layer = route.place.layer + step;
      if (atlas.layers[layer]) this.openLayer(layer, true);
      return;
    }
    let layer = unit === null ? (step > 0 ? 0 : atlas.layers.length - 1) : atlas.layerOf[unit] + step;
    while (atlas.layers[layer] && !atlas.layers[layer].members.length) layer += step;
    const members = atlas.layers[layer]?.members;
    if (members?.length) this.openUnit(last ? members[members.length - 1] : members[0], unit !== null);
  }

  private follow(): void {
    if (location.hash === this.hash) return;
    this.hash = location.hash;
    const before = this.route;
    this.route = parse(this.hash, this.atlas);
    this.remember();
    for (const listener of this.listeners) listener(this.route, before);
  }

  private remember(): void {
    if (this.route.place.at !== "unit") this.background = this.route.place;
  }
}
