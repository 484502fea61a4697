/** `window.neuronatlas`: what the page shows just now, to be read by tests and by the curious; nothing can be set. */

import type { App } from "./app";
import type { MapView } from "./map/map";
import { subjectOf } from "./map/shown";

export function expose(app: App, map: MapView): void {
  const state = {
    get renderer() {
      return map.renderer?.name ?? "none";
    },
    get place() {
      return app.route.place.at;
    },
    get unit() {
      return app.unit === null ? null : app.atlas.address(app.unit);
    },
    get stimulus() {
      return app.route.stimulus === null ? null : app.atlas.stimuli[app.route.stimulus].name;
    },
    /** Whether the dots carry the colours that the address asks for. */
    get coloured() {
      return (subjectOf(app.route) === null && !app.route.colour) === (map.shown === null);
    },
    /** The number that colours a unit, if one does. */
    number(address: string) {
      const unit = app.atlas.find(address);
      return unit === null || !map.shown ? null : map.shown.values[unit];
    },
    get selection() {
      return app.selection.map((unit) => app.atlas.address(unit));
    },
    get filled() {
      return map.filling !== null;
    },
    get layers() {
      return app.atlas.layers.filter((_, k) => !app.route.layers || app.route.layers.has(k)).map((layer) => layer.name);
    },
    get units() {
      return app.atlas.count;
    },
    get dots() {
      return map.dots?.units.length ?? 0;
    },
    /** A number that changes with any colour on the map. */
    get colours() {
      let total = 0;
      map.dots?.colours.forEach((byte, k) => (total = (total * 31 + byte + k) % 2147483647));
      return total;
    },
    get thumbnails() {
      return map.thumbnails.map((item) => app.atlas.address(item.unit));
    },
    get pointed() {
      return map.pointed === null ? null : app.atlas.address(map.pointed);
    },
    get hovered() {
      return map.hovered === null ? null : app.atlas.address(map.hovered);
    },
    /** Doublings beyond the zoom that shows the whole map. */
    get zoom() {
      return map.camera.zoom - map.home.zoom;
    },
    get drawn() {
      return drawn;
    },
    /** Milliseconds from the opening to the first drawing. */
    get firstDrawn() {
      return firstDrawn;
    },
    /** Where a unit is in the window, in CSS pixels; null when it has no place. */
    where(address: string) {
      const unit = app.atlas.find(address);
      if (unit === null || !app.atlas.placed(unit)) return null;
      const box = document.getElementById("stage")?.getBoundingClientRect();
      const [left, top] = map.screen(unit);
      return [left + (box?.left ?? 0), top + (box?.top ?? 0)];
    },
  };
  let drawn = 0;
  let firstDrawn = 0;
  map.onDrawn = () => {
    firstDrawn ||= performance.now();
    drawn++;
  };
  Object.defineProperty(globalThis, "neuronatlas", { value: Object.freeze(state) });
}
