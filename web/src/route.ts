/** Where the reader is, written in the address after `#`, so that every unit, layer and view has a link. */

import type { Atlas } from "./data";

export type Place = { at: "map" } | { at: "unit"; unit: number } | { at: "layer"; layer: number };

export interface Route {
  place: Place;
  /** The stimulus that colours the map; null colours by layer. */
  stimulus: number | null;
  /** Layers on the map; null is all of them. */
  layers: ReadonlySet<number> | null;
  /** The table in place of the map. */
  list: boolean;
  /** What in the link was not found, in words. */
  problem: string | null;
}

export const HOME: Route = { place: { at: "map" }, stimulus: null, layers: null, list: false, problem: null };

/** Read a hash. Unknown names never fail: the rest of the link is followed and the problem is said. */
export function parse(hash: string, atlas: Atlas): Route {
  const text = hash.replace(/^#/, "");
  const mark = text.indexOf("?");
  const path = mark < 0 ? text : text.slice(0, mark);
  const route: { -readonly [K in keyof Route]: Route[K] } = { ...HOME };
  const problems: string[] = [];
  const [, kind = "", ...rest] = path.split("/");
  const name = decode(rest.join("/"));
  if (kind === "unit") {
    const unit = atlas.find(name);
    if (unit === null) problems.push(`There is no unit “${name}” in this atlas.`);
    else route.place = { at: "unit", unit };
  } else if (kind === "layer") {
    const layer = atlas.layerNumber(name);
    if (layer === null) problems.push(`There is no layer “${name}” in this atlas.`);
    else route.place = { at: "layer", layer };
  } else if (kind !== "" && kind !== "map") {
    problems.push(`There is no page “${decode(kind)}” here.`);
  }
  for (const pair of mark < 0 ? [] : text.slice(mark + 1).split("&")) {
    const equals = pair.indexOf("=");
    const [key, value] = equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
    if (key === "stimulus") {
      route.stimulus = atlas.stimulusNumber(decode(value));
      if (route.stimulus === null) problems.push(`There is no stimulus “${decode(value)}” in this atlas.`);
    } else if (key === "layers") {
      const names = value === "" ? [] : value.split(",").map(decode);
      const found = names.map((layer) => atlas.layerNumber(layer));
      found.forEach((layer, k) => layer ?? problems.push(`There is no layer “${names[k]}” in this atlas.`));
      const known = found.filter((layer) => layer !== null);
      if (known.length || !names.length) route.layers = new Set(known);
    } else if (key === "view") {
      route.list = value === "list";
    }
  }
  route.problem = problems.length ? problems.join(" ") : null;
  return route;
}

/** Write a hash; the inverse of `parse`. */
export function format(route: Omit<Route, "problem">, atlas: Atlas): string {
  const { place } = route;
  let path = "#/map";
  if (place.at === "unit") path = `#/unit/${encodeURIComponent(atlas.address(place.unit))}`;
  if (place.at === "layer") path = `#/layer/${encodeURIComponent(atlas.layers[place.layer].name)}`;
  const query: string[] = [];
  if (route.stimulus !== null) query.push(`stimulus=${encodeURIComponent(atlas.stimuli[route.stimulus].name)}`);
  if (route.layers !== null) {
    const names = [...route.layers].sort((a, b) => a - b).map((layer) => encodeURIComponent(atlas.layers[layer].name));
    query.push(`layers=${names.join(",")}`);
  }
  if (route.list) query.push("view=list");
  return query.length ? `${path}?${query.join("&")}` : path;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
