/**
 * The page inside another page (`index.html?embed=1`): no header, and word of every change.
 *
 * It posts {neuronatlas: 1, unit, stimulus, hover, camera} to its parent when the reader changes one, and does as such a message from its parent says. A unit is
 * an address, a stimulus a name, each null for none; hover is the unit under the pointer. The camera has its centre in map units and its zoom in doublings
 * beyond the whole map, so that it means the same in a window of another size; it is null unless the reader moved it.
 * What a message leaves out stays as it is; what it gets wrong is ignored.
 */

import type { App } from "./app";
import { byId } from "./dom";
import { clampZoom, pan, type Camera } from "./map/camera";
import type { MapView } from "./map/map";

export interface Word {
  neuronatlas: 1;
  unit?: string | null;
  stimulus?: string | null;
  hover?: string | null;
  camera?: Camera | null;
}

/** Longest name that is looked up; nothing in an atlas is nearly as long. */
const LONGEST = 10_000;

export function embed(app: App, map: MapView): void {
  if (new URLSearchParams(location.search).get("embed") !== "1") return;
  document.body.classList.add("embedded");
  const panel = document.querySelector(".panel-button");
  if (panel) byId("stage").append(panel);
  if (parent === window) return;
  /** Whether the reader moves the camera here, and not a flight to a unit or the parent. */
  let moving = false;
  /** Whether the parent's word is being done: what comes of it is no news to the parent. */
  let following = false;
  let told = "";
  const tell = (): void => {
    const camera = moving ? { ...map.camera, zoom: map.camera.zoom - map.home.zoom } : null;
    const { stimulus } = app.route;
    const word: Word = {
      neuronatlas: 1,
      unit: app.unit === null ? null : app.atlas.address(app.unit),
      stimulus: stimulus === null ? null : app.atlas.stimuli[stimulus].name,
      hover: map.hovered === null ? null : app.atlas.address(map.hovered),
      camera,
    };
    const text = JSON.stringify(word);
    if (text !== told && !following) parent.postMessage(word, "*");
    told = text;
  };
  for (const kind of ["pointerdown", "wheel", "keydown"]) {
    addEventListener(kind, () => (moving = true), { capture: true, passive: true });
  }
  addEventListener("message", (event) => {
    if (event.source !== parent) return;
    const word = read(event.data);
    if (!word) return;
    moving = false;
    following = true;
    follow(app, map, word);
    tell();
    following = false;
  });
  app.watch((route, before) => {
    if (route.place !== before.place) moving = false;
    tell();
  });
  const drawn = map.onDrawn;
  map.onDrawn = () => {
    drawn();
    tell();
  };
}

/** The message, if it is one of ours; each field that is not as it must be is left out. */
export function read(data: unknown): Word | null {
  if (typeof data !== "object" || data === null) return null;
  const given = data as Record<string, unknown>;
  if (given["neuronatlas"] !== 1) return null;
  const word: Word = { neuronatlas: 1 };
  for (const key of ["unit", "stimulus", "hover"] as const) {
    const value = given[key];
    if (value === null || (typeof value === "string" && value.length <= LONGEST)) word[key] = value;
  }
  const camera = given["camera"] as Record<string, unknown> | null | undefined;
  if (typeof camera === "object" && camera !== null) {
    const { x, y, zoom } = camera;
    if (finite(x) && finite(y) && finite(zoom)) word.camera = { x, y, zoom };
  }
  return word;
}

function finite(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** The map has one colouring at a time, and on the page of a stimulus it is that of the page. */
function recolour(app: App, stimulus: number | null): void {
  if (stimulus === app.route.stimulus) return;
  app.go({
    stimulus, label: null,
    ...(stimulus === null ? { minus: null, film: false } : {}),
    ...(app.route.place.at === "stimulus" ? { place: stimulus === null ? { at: "map" } : { at: "stimulus", stimulus } } : {}),
  }, true);
}

/** Do as the message says, without a step for the back button. */
function follow(app: App, map: MapView, word: Word): void {
  if (word.stimulus !== undefined) {
    const stimulus = word.stimulus === null ? null : app.atlas.stimulusNumber(word.stimulus);
    if (stimulus !== null || word.stimulus === null) recolour(app, stimulus);
  }
  if (word.unit === null) {
    if (app.unit !== null) app.go({ place: app.background }, true);
  } else if (word.unit !== undefined) {
    const unit = app.atlas.find(word.unit);
    if (unit !== null) app.openUnit(unit, true);
  }
  if (word.hover !== undefined) {
    const pointed = word.hover === null ? null : app.atlas.find(word.hover);
    if (pointed !== map.pointed) {
      map.pointed = pointed;
      map.redraw();
    }
  }
  if (word.camera && map.size.width) {
    const zoom = clampZoom(word.camera.zoom + map.home.zoom, map.size);
    map.look(pan({ ...word.camera, zoom }, 0, 0));
  }
}
