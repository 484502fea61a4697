/** The keyboard: every key here is listed in the help. */

import type { App } from "./app";
import type { MapView } from "./map/map";
import { closeDialog, openHelp } from "./panels/dialogs";

interface Film {
  step: (by: number) => void;
  toggle: () => void;
}

export function keys(app: App, map: MapView, film: Film, focusSearch: () => void, closeSide: () => boolean): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target as Element;
    const typing = target.matches("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape") {
      if (closeDialog() || closeSide()) event.preventDefault();
      else if (typing) (target as HTMLElement).blur();
      else if (map.lasso.armed) map.lasso.arm(false);
      else if (app.unit !== null) app.closeUnit();
      else if (app.selection.length) app.select([]);
      else if (app.route.film) app.go({ film: false });
      else if (app.route.place.at !== "map") app.go({ place: { at: "map" } });
      return;
    }
    if (typing || document.querySelector("dialog[open]")) return;
    const action = ACTIONS[event.key];
    if (!action || (event.key === " " && (target.matches("button, a, summary") || !app.route.film))) return;
    event.preventDefault();
    action(app, map, film, focusSearch);
  });
}

const ACTIONS: Record<string, (app: App, map: MapView, film: Film, focusSearch: () => void) => unknown> = {
  "/": (_app, _map, _film, focusSearch) => focusSearch(),
  "?": () => openHelp(),
  ArrowRight: (app) => app.stepUnit(1),
  ArrowLeft: (app) => app.stepUnit(-1),
  "]": (app) => app.stepLayer(1),
  "[": (app) => app.stepLayer(-1),
  "+": (_app, map) => map.zoom(1),
  "=": (_app, map) => map.zoom(1),
  "-": (_app, map) => map.zoom(-1),
  "0": (_app, map) => map.reset(),
  l: (_app, map) => map.lasso.arm(!map.lasso.armed),
  v: (_app, map) => map.chooseView(),
  s: (app) => toggleOpen(app),
  j: (app) => app.unit !== null && app.go({ json: true }),
  ".": (_app, _map, film) => film.step(1),
  ",": (_app, _map, film) => film.step(-1),
  " ": (_app, _map, film) => film.toggle(),
};

/** The open unit enters the selection, or leaves it. */
function toggleOpen(app: App): void {
  const { unit, selection } = app;
  if (unit === null) return;
  app.select(selection.includes(unit) ? selection.filter((other) => other !== unit) : [...selection, unit].sort((a, b) => a - b));
}
