/** A row of small maps, one a stimulus: how the response moves over the map from one stimulus to the next. */

import type { App } from "../app";
import { byId, h, icon } from "../dom";
import { fit } from "../map/camera";
import { colourDots } from "../map/colours";
import { shown } from "../map/shown";
import { stampDots } from "../map/stamp";
import { isDark, onTheme } from "../theme";
import { reveal, stimulusPicture } from "./common";

/** Maps in a row at most: of more stimuli some are left out evenly, and that is said. */
const MOST = 60;
const SIDE = 112;
/** Milliseconds of each stimulus when the film runs. */
const PAUSE = 700;

/** The stimuli of the film: those of the class that is shown, or of the stimulus's class, or all. */
export function sequence(app: App): number[] {
  const { atlas, route } = app;
  const label = route.label ?? (route.stimulus === null ? "" : atlas.stimuli[route.stimulus].label);
  const all = atlas.stimuli.map((_, number) => number);
  return label ? all.filter((number) => atlas.stimuli[number].label === label) : all;
}

export function film(app: App): { step: (by: number) => void; toggle: () => void } {
  const strip = byId("film");
  let key = "";
  let timer = 0;
  const row = h("div", { class: "frames", role: "group", "aria-label": "Maps, one a stimulus" });

  const stop = (): void => {
    clearInterval(timer);
    timer = 0;
    play.replaceChildren(icon("play"));
    play.setAttribute("aria-label", "Play");
  };
  const toggle = (): void => {
    if (timer) return stop();
    timer = window.setInterval(() => step(1), PAUSE);
    play.replaceChildren(icon("pause"));
    play.setAttribute("aria-label", "Pause");
  };
  const play = h("button", { type: "button", class: "round", "aria-label": "Play", title: "Play (Space)", click: toggle }, icon("play"));
  const step = (by: number): void => {
    const some = sequence(app);
    const at = app.route.stimulus === null ? -1 : some.indexOf(app.route.stimulus);
    const next = some[(at + by + some.length) % some.length];
    if (next !== undefined) app.go({ stimulus: next, label: null }, timer !== 0);
  };

  const draw = (again = false): void => {
    strip.hidden = !app.route.film || app.background.at !== "map";
    document.body.classList.toggle("with-film", !strip.hidden);
    if (strip.hidden) return stop();
    const all = sequence(app);
    const every = Math.ceil(all.length / MOST);
    const some = all.filter((_, k) => k % every === 0);
    const now = JSON.stringify([some, app.route.circle, [...(app.route.layers ?? [])], isDark()]);
    if (now !== key || again) {
      key = now;
      row.replaceChildren(...some.map((stimulus) => frame(app, stimulus, () => key === now)));
      const left = all.length - some.length;
      strip.replaceChildren(h("div", { class: "film-head" }, play,
        h("span", { class: "note" }, `${some.length} stimuli${left ? `, every ${every}th of ${all.length}` : ""}`),
        h("span", { class: "grow" }),
        h("button", { type: "button", class: "round", "aria-label": "Close the film strip", click: () => app.go({ film: false }) }, icon("close"))), row);
    }
    for (const button of row.querySelectorAll<HTMLElement>("button")) {
      const on = Number(button.dataset["stimulus"]) === app.route.stimulus;
      button.setAttribute("aria-pressed", String(on));
      if (on) reveal(row, button);
    }
  };
  app.watch(() => draw());
  onTheme(() => draw(true));
  return { step, toggle: () => app.route.film && toggle() };
}

function frame(app: App, stimulus: number, current: () => boolean): HTMLElement {
  const canvas = h("canvas", { width: SIDE * 2, height: SIDE * 2, "aria-hidden": "true" });
  const { name } = app.atlas.stimuli[stimulus];
  const near = new IntersectionObserver((seen) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    near.disconnect();
    void shown(app, { ...app.route, stimulus, label: null, minus: null }).then((numbers) => {
      if (!current()) return;
      const dots = colourDots(app, numbers, []);
      const image = new ImageData(SIDE * 2, SIDE * 2);
      const size = { width: SIDE, height: SIDE };
      stampDots(image, { ...size, camera: { ...fit(size), zoom: Math.log2(SIDE / 2.1) }, dots, stride: Math.ceil(dots.units.length / 40_000), radius: 1,
        outline: [0, 0, 0] }, isDark() ? [14, 17, 22] : [246, 247, 249], 2);
      canvas.getContext("2d")?.putImageData(image, 0, 0);
    });
  }, { rootMargin: "200px" });
  near.observe(canvas);
  return h("button", { type: "button", class: "frame", "data-stimulus": stimulus, title: name, "aria-label": name, "aria-pressed": "false",
    click: () => app.go({ stimulus, label: null }) }, canvas, h("span", { class: "under" }, stimulusPicture(app, stimulus), h("span", {}, name)));
}
