/** Search over units, layers, stimuli and labels: every word must be there, what starts with the query comes first. */

import type { App } from "../app";
import { byId, h, icon } from "../dom";
import { reveal, stimulusPicture, swatch, unitPicture } from "./common";

interface Hit {
  kind: "Layer" | "Unit" | "Stimulus";
  name: string;
  note: string;
  picture: HTMLElement;
  go: () => void;
}

const EACH = { Layer: 4, Unit: 8, Stimulus: 6 };

/** The places of names that hold every word: the whole name first, then those that begin with it, then the others. */
function best(length: number, whole: string, words: string[], text: (k: number) => string, most: number): number[] {
  const ranks: number[][] = [[], [], []];
  for (let k = 0; k < length && ranks[0].length < most; k++) {
    const name = text(k);
    if (!words.every((word) => name.includes(word))) continue;
    const rank = name === whole ? 0 : name.startsWith(whole) || name.endsWith(`:${whole}`) ? 1 : 2;
    if (ranks[rank].length < most) ranks[rank].push(k);
  }
  return ranks.flat().slice(0, most);
}

/** Units, layer by layer: where the layer's name holds every word its first units do, and where it cannot be none are looked at. */
function unitsNamed(app: App, whole: string, words: string[]): number[] {
  const { atlas } = app;
  const ranks: number[][] = [[], [], []];
  for (const { name, members } of atlas.layers) {
    const layer = name.toLowerCase();
    const left = words.filter((word) => !layer.includes(word)).map((word) => tailOf(layer, word));
    if (left.some((word) => !/^[\d:@,]+$/.test(word) && !atlas.words.some((status) => status.includes(word)))) continue;
    for (const unit of members) {
      const status = atlas.status(unit);
      const address = left.length || status ? atlas.address(unit).toLowerCase() : "";
      const tail = `${address.slice(layer.length)} ${status}`;
      if (!left.every((word) => tail.includes(word))) continue;
      const rank = address === whole ? 0 : layer.startsWith(whole) || address.startsWith(whole) || address.endsWith(`:${whole}`) ? 1 : 2;
      if (ranks[rank].length < EACH.Unit) ranks[rank].push(unit);
      if (!left.length && ranks[rank].length >= EACH.Unit) break;
    }
    if (ranks[0].length + ranks[1].length >= EACH.Unit) break;
  }
  return ranks.flat().slice(0, EACH.Unit);
}

/** What of a word such as "features.8:17" is left for a unit's number, where the layer's name ends as the word begins. */
function tailOf(layer: string, word: string): string {
  const colon = word.lastIndexOf(":");
  return colon > 0 && layer.endsWith(word.slice(0, colon)) ? word.slice(colon) : word;
}

/** Find names; a pure function of the atlas and the query. */
export function find(app: App, query: string): Hit[] {
  const { atlas } = app;
  const whole = query.trim().toLowerCase();
  const words = whole.split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const layers = best(atlas.layers.length, whole, words, (k) => `${atlas.layers[k].name} ${atlas.layers[k].kind}`.toLowerCase(), EACH.Layer);
  const stimuli = best(atlas.stimuli.length, whole, words, (k) => `${atlas.stimuli[k].name} ${atlas.stimuli[k].label}`.toLowerCase(), EACH.Stimulus);
  const units = unitsNamed(app, whole, words);
  return [
    ...layers.map((layer): Hit => ({
      kind: "Layer", name: atlas.layers[layer].name, note: atlas.layers[layer].kind,
      picture: swatch(app, layer), go: () => app.openLayer(layer),
    })),
    ...units.map((unit): Hit => ({
      kind: "Unit", name: atlas.address(unit), note: atlas.status(unit),
      picture: unitPicture(app, unit, false), go: () => app.openUnit(unit),
    })),
    ...stimuli.map((stimulus): Hit => ({
      kind: "Stimulus", name: atlas.stimuli[stimulus].name, note: atlas.stimuli[stimulus].label,
      picture: stimulusPicture(app, stimulus), go: () => app.go({ place: { at: "map" }, stimulus, label: null }),
    })),
  ];
}

export function search(app: App): { focus: () => void } {
  const box = byId("search");
  let hits: Hit[] = [];
  let at = -1;
  const list = h("div", { id: "hits", role: "listbox", "aria-label": "Found", hidden: true });
  const input = h("input", {
    type: "search", role: "combobox", "aria-expanded": "false", "aria-controls": "hits", "aria-autocomplete": "list",
    "aria-label": "Search units, layers and stimuli", placeholder: "Search units, layers, stimuli", autocomplete: "off",
    spellcheck: "false",
    input: () => open(),
    focus: () => input.value && open(),
    blur: () => close(),
    keydown: (event: KeyboardEvent) => key(event),
  });

  const close = (): void => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const choose = (hit: Hit | undefined): void => {
    if (!hit) return;
    input.value = "";
    close();
    input.blur();
    hit.go();
  };
  const mark = (next: number): void => {
    at = next;
    [...list.querySelectorAll("[role=option]")].forEach((option, k) => option.setAttribute("aria-selected", String(k === at)));
    if (at < 0) return;
    input.setAttribute("aria-activedescendant", `hit-${at}`);
    reveal(list, list.querySelector<HTMLElement>(`#hit-${at}`));
  };
  const open = (): void => {
    hits = find(app, input.value);
    if (!input.value.trim()) return close();
    const options = hits.map((hit, k) => h("div", {
      role: "option", id: `hit-${k}`, "aria-selected": "false",
      pointerdown: (event: Event) => event.preventDefault(),
      click: () => choose(hit),
    }, h("span", { class: "hit-picture" }, hit.picture), h("span", { class: "name" }, hit.name),
    h("span", { class: "note" }, hit.note), h("span", { class: "kind" }, hit.kind)));
    list.replaceChildren(...options);
    if (!hits.length) list.append(h("p", { class: "note" }, `Nothing here is called “${input.value.trim()}”.`));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark(hits.length ? 0 : -1);
  };
  const key = (event: KeyboardEvent): void => {
    event.stopPropagation();
    if (event.key === "ArrowDown" && hits.length) mark((at + 1) % hits.length);
    else if (event.key === "ArrowUp" && hits.length) mark((at + hits.length - 1) % hits.length);
    else if (event.key === "Enter") choose(hits[at]);
    else if (event.key === "Escape") {
      input.value = "";
      close();
      input.blur();
    } else return;
    event.preventDefault();
  };

  box.append(icon("search"), input, h("kbd", { "aria-hidden": "true" }, "/"), list);
  return { focus: () => input.select() };
}
