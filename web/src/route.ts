/** Where the reader is, written in the address after `#`, so that every unit, layer and view has a link. */

import type { Atlas } from "./data";

export type Place =
  | { at: "map" }
  | { at: "unit"; unit: number }
  | { at: "layer"; layer: number }
  | { at: "stimulus"; stimulus: number };

/** What the network was shown: one stimulus, or all those of a class. */
export type Subject = { stimulus: number } | { label: string };

/** How the map is filled: by dots, or by the nearest unit or a mixture of the three around. */
export type Fill = "points" | "nearest" | "linear";

export interface Route {
  place: Place;
  /** The stimulus that colours the map; null for none. */
  stimulus: number | null;
  /** The class whose mean response colours the map. */
  label: string | null;
  /** What is taken away from either. */
  minus: Subject | null;
  /** What colours the map without a stimulus: "" the layers, "patches", or a column of the unit table. */
  colour: string;
  fill: Fill;
  /** The map drawn out to a disc. */
  circle: boolean;
  /** A row of maps, one a stimulus. */
  film: boolean;
  /** Layers on the map; null is all of them. */
  layers: ReadonlySet<number> | null;
  /** The table in place of the map. */
  list: boolean;
  /** The open unit's card as JSON, over the page. */
  json: boolean;
  /** What in the link was not found, in words. */
  problem: string | null;
}

export const HOME: Route = {
  place: { at: "map" }, stimulus: null, label: null, minus: null, colour: "", fill: "points", circle: false, film: false,
  layers: null, list: false, json: false, problem: null,
};

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
  } else if (kind === "stimulus") {
    const stimulus = atlas.stimulusNumber(name);
    if (stimulus === null) problems.push(`There is no stimulus “${name}” in this atlas.`);
    else Object.assign(route, { place: { at: "stimulus", stimulus }, stimulus });
  } else if (kind !== "" && kind !== "map") {
    problems.push(`There is no page “${decode(kind)}” here.`);
  }
  for (const pair of mark < 0 ? [] : text.slice(mark + 1).split("&")) {
    const equals = pair.indexOf("=");
    const [key, value] = equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
    const stimulus = (name: string): number | null => {
      const found = atlas.stimulusNumber(name);
      if (found === null) problems.push(`There is no stimulus “${name}” in this atlas.`);
      return found;
    };
    const label = (name: string): string | null => {
      if (atlas.labels.includes(name)) return name;
      problems.push(`There is no class “${name}” in this atlas.`);
      return null;
    };
    if (key === "stimulus") {
      route.stimulus = stimulus(decode(value));
    } else if (key === "class") {
      route.label = label(decode(value));
    } else if (key === "minus") {
      const found = stimulus(decode(value));
      if (found !== null) route.minus = { stimulus: found };
    } else if (key === "minusclass") {
      const found = label(decode(value));
      if (found !== null) route.minus = { label: found };
    } else if (key === "colour") {
      const name = decode(value);
      if (name === "patches" || name === "Score" || atlas.numbers.includes(name)) route.colour = name;
      else problems.push(`The units of this atlas have no “${name}”.`);
    } else if (key === "fill") {
      if (value === "nearest" || value === "linear") route.fill = value;
    } else if (key === "shape") {
      route.circle = value === "disc";
    } else if (key === "film") {
      route.film = true;
    } else if (key === "layers") {
      const names = value === "" ? [] : value.split(",").map(decode);
      const found = names.map((layer) => atlas.layerNumber(layer));
      found.forEach((layer, k) => layer ?? problems.push(`There is no layer “${names[k]}” in this atlas.`));
      const known = found.filter((layer) => layer !== null);
      if (known.length || !names.length) route.layers = new Set(known);
    } else if (key === "view") {
      route.list = value === "list";
    } else if (key === "json") {
      route.json = kind === "unit" && value !== "0";
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
  if (place.at === "stimulus") path = `#/stimulus/${encodeURIComponent(atlas.stimuli[place.stimulus].name)}`;
  const query: string[] = [];
  if (route.stimulus !== null && place.at !== "stimulus") {
    query.push(`stimulus=${encodeURIComponent(atlas.stimuli[route.stimulus].name)}`);
  } else if (route.label !== null) query.push(`class=${encodeURIComponent(route.label)}`);
  if (route.minus) {
    query.push("label" in route.minus ? `minusclass=${encodeURIComponent(route.minus.label)}`
      : `minus=${encodeURIComponent(atlas.stimuli[route.minus.stimulus].name)}`);
  }
  if (route.colour) query.push(`colour=${encodeURIComponent(route.colour)}`);
  if (route.fill !== "points") query.push(`fill=${route.fill}`);
  if (route.circle) query.push("shape=disc");
  if (route.film) query.push("film=1");
  if (route.layers !== null) {
    const names = [...route.layers].sort((a, b) => a - b).map((layer) => encodeURIComponent(atlas.layers[layer].name));
    query.push(`layers=${names.join(",")}`);
  }
  if (route.list) query.push("view=list");
  if (route.json && place.at === "unit") query.push("json=1");
  return query.length ? `${path}?${query.join("&")}` : path;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
