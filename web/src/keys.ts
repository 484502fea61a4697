/** The keyboard: every key here is listed in the help. */

import type { App } from "./app";
import type { MapView } from "./map/map";
import { closeDialog, openHelp } from "./panels/dialogs";

export function keys(app: App, map: MapView, focusSearch: () => void, closeSide: () => boolean): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target as Element;
    const typing = target.matches("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape") {
      if (closeDialog() || closeSide()) event.preventDefault();
      else if (typing) (target as HTMLElement).blur();
      else if (app.unit !== null) app.closeUnit();
      else if (app.route.place.at === "layer") app.go({ place: { at: "map" } });
      return;
    }
    if (typing || document.querySelector("dialog[open]")) return;
    const action = ACTIONS[event.key];
    if (!action) return;
    event.preventDefault();
    action(app, map, focusSearch);
  });
}

const ACTIONS: Record<string, (app: App, map: MapView, focusSearch: () => void) => void> = {
  "/": (_app, _map, focusSearch) => focusSearch(),
  "?": () => openHelp(),
  ArrowRight: (app) => app.stepUnit(1),
  ArrowLeft: (app) => app.stepUnit(-1),
  "]": (app) => app.stepLayer(1),
  "[": (app) => app.stepLayer(-1),
  "+": (_app, map) => map.zoom(1),
  "=": (_app, map) => map.zoom(1),
  "-": (_app, map) => map.zoom(-1),
  "0": (_app, map) => map.reset(),
};
