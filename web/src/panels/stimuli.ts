/** The stimulus picker: thumbnails by label; choosing one colours the map by the response to it. */

import type { App } from "../app";
import { h } from "../dom";
import { reveal, rove, stimulusPicture } from "./common";

export function stimuli(app: App): HTMLElement {
  const { atlas } = app;
  const section = h("section", { class: "group", id: "stimuli" });
  if (!atlas.stimuli.length) return section;
  const groups = new Map<string, number[]>();
  atlas.stimuli.forEach(({ label }, number) => groups.set(label, [...(groups.get(label) ?? []), number]));
  const buttons = new Map<number, HTMLButtonElement>();
  const parts = [...groups].map(([label, members]) => {
    const grid = h("div", { class: "thumbs" }, ...members.map((number) => {
      const button = choice(app, number);
      buttons.set(number, button);
      return button;
    }));
    return h("div", { class: "label" },
      h("h3", {}, label || "No label", h("span", { class: "number" }, String(members.length)),
        label && h("button", { type: "button", class: "quiet", title: `Colour the map by the mean response to ${label}`,
          click: () => app.show({ label }) }, "mean")), grid);
  });
  const none = h("p", { class: "note", hidden: true }, "No stimulus has that in its name or label.");
  const filter = h("input", {
    type: "search", placeholder: `Filter ${atlas.stimuli.length} stimuli`,
    "aria-label": "Filter stimuli by name or label", autocomplete: "off", spellcheck: "false",
    input: () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let seen = 0;
      parts.forEach((part) => {
        let here = 0;
        for (const button of part.querySelectorAll<HTMLButtonElement>("button.thumb")) {
          const { name, label } = atlas.stimuli[Number(button.dataset["stimulus"])];
          const text = `${name} ${label}`.toLowerCase();
          button.hidden = !words.every((word) => text.includes(word));
          if (!button.hidden) here++;
        }
        part.hidden = here === 0;
        seen += here;
      });
      none.hidden = seen > 0;
    },
  });
  const clear = h("button", { type: "button", class: "quiet", click: () => app.show(null) }, "Clear");
  const box = h("div", { class: "picker" }, ...parts, none);
  rove(box, "button.thumb");
  app.watch((route, before) => {
    for (const [number, button] of buttons) button.setAttribute("aria-pressed", String(number === route.stimulus));
    clear.hidden = route.stimulus === null;
    if (route.stimulus !== null && (route === before || route.stimulus !== before.stimulus)) {
      reveal(box, buttons.get(route.stimulus));
    }
  });
  section.append(
    h("div", { class: "head" }, h("h2", {}, "Response to a stimulus"), clear),
    filter, box,
  );
  return section;
}

function choice(app: App, number: number): HTMLButtonElement {
  const { name } = app.atlas.stimuli[number];
  return h("button", {
    type: "button", class: "thumb", title: name, "aria-label": name, "aria-pressed": "false", "data-stimulus": number,
    click: () => app.show(app.route.stimulus === number ? null : { stimulus: number }),
  }, stimulusPicture(app, number));
}
