/** What every part of the page shares: the atlas, where the reader is, and word of both changing. */

import type { Atlas } from "./data";
import { format, parse, type Place, type Route, type Subject } from "./route";

/** In a notebook the page has no address of its own: it keeps it in memory. */
const HELD = typeof globalThis.neuronatlasSource === "function";

type Listener = (route: Route, before: Route) => void;

export class App {
  route: Route;
  /** The last place that was not a unit: a unit's card lies over it, and closing the card leads back. */
  background: Place = { at: "map" };
  /** Units chosen on the map, in order. */
  selection: readonly number[] = [];
  private readonly listeners: Listener[] = [];
  private readonly choosers: (() => void)[] = [];
  private hash: string;

  constructor(readonly atlas: Atlas) {
    this.hash = HELD ? "" : location.hash;
    this.route = parse(this.hash, atlas);
    this.remember();
    if (!HELD) {
      addEventListener("hashchange", () => this.follow(location.hash));
      return;
    }
    document.addEventListener("click", (event) => {
      const link = (event.target as Element).closest?.<HTMLAnchorElement>('a[href^="#/"]');
      if (!link || event.defaultPrevented) return;
      event.preventDefault();
      this.follow(link.getAttribute("href") ?? "");
    });
  }

  /** Call back after each change, and once now. */
  watch(listener: Listener): void {
    this.listeners.push(listener);
    listener(this.route, this.route);
  }

  /** Call back whenever another selection is made. */
  onSelection(listener: () => void): void {
    this.choosers.push(listener);
  }

  select(units: readonly number[]): void {
    if (!units.length && !this.selection.length) return;
    this.selection = units;
    for (const listener of this.choosers) listener();
  }

  /** The address of a change from here, for links. */
  link(change: Partial<Route>): string {
    return format({ ...this.route, ...change }, this.atlas);
  }

  /** Go there; `replace` leaves no step behind for the back button. */
  go(change: Partial<Route>, replace = false): void {
    const hash = this.link(change);
    if (hash === this.hash) return;
    if (!HELD && replace) location.replace(hash);
    else if (!HELD) location.hash = hash;
    this.follow(hash);
  }

  /** Colour the map by the response to a stimulus or to a class, or, with null, no longer. */
  show(subject: Subject | null): void {
    this.go({
      stimulus: subject && "stimulus" in subject ? subject.stimulus : null,
      label: subject && "label" in subject ? subject.label : null,
      ...(subject ? {} : { minus: null, film: false }),
      ...(this.route.place.at === "stimulus" ? { place: { at: "map" } } : {}),
    });
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

  private follow(hash: string): void {
    if (hash === this.hash) return;
    this.hash = hash;
    const before = this.route;
    this.route = parse(this.hash, this.atlas);
    this.remember();
    for (const listener of this.listeners) listener(this.route, before);
  }

  private remember(): void {
    if (this.route.place.at !== "unit") this.background = this.route.place;
  }
}
