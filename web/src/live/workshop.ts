/** The part of a unit's card that renders it with other settings, and shows how the picture grows. */

import type { App } from "../app";
import { h, number } from "../dom";
import type { Api, Growth } from "./api";

export function workshop(app: App, api: Api): (unit: number) => HTMLElement {
  let presets = ["fast"];
  api.about().then((about) => (presets = about.presets), () => undefined);
  let cancel: (() => void) | null = null;

  return (unit) => {
    cancel?.();
    cancel = null;
    const preset = h("select", { "aria-label": "Preset" }, ...presets.map((name) => h("option", { value: name, selected: name === "fast" }, name)));
    const steps = h("input", { type: "number", min: 1, max: 2048, placeholder: "as preset", "aria-label": "Steps" });
    const seed = h("input", { type: "number", min: 0, value: 0, "aria-label": "Seed" });
    const sign = h("select", { "aria-label": "Sign" }, h("option", { value: "1" }, "excite"), h("option", { value: "-1" }, "inhibit"));
    const image = h("img", { alt: "", hidden: true });
    const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Progress of the rendering" });
    const words = h("p", { class: "note", role: "status" });
    const go = h("button", { type: "button", class: "button" }, "Render");

    const grown = (growth: Growth): void => {
      if (growth.image) {
        image.src = growth.image;
        image.hidden = false;
        image.alt = `Feature visualization of ${app.atlas.address(unit)}, being made`;
        image.dataset["frames"] = String(Number(image.dataset["frames"] ?? 0) + 1);
      }
      if (growth.step !== undefined && growth.of) {
        bar.value = growth.step / growth.of;
        words.textContent = `Step ${growth.step} of ${growth.of}, score ${number(growth.score ?? NaN)}`;
        return;
      }
      cancel = null;
      go.textContent = "Render";
      bar.hidden = true;
      if (growth.cancelled) words.textContent = "Stopped.";
      else if (growth.error) words.textContent = growth.error;
      else if (growth.status) words.textContent = `${growth.status}: ${growth.reason ?? ""}`;
      else words.textContent = `Done, score ${number(growth.score ?? NaN)}`;
    };
    go.addEventListener("click", () => {
      if (cancel) {
        cancel();
        words.textContent = "Stopping…";
        return;
      }
      image.dataset["frames"] = "0";
      bar.hidden = false;
      bar.value = 0;
      words.textContent = "Beginning…";
      go.textContent = "Stop";
      api.render({ unit: app.atlas.address(unit), preset: preset.value, steps: steps.value ? Number(steps.value) : null,
        seed: Number(seed.value), sign: sign.value === "-1" ? -1 : 1, size: null }, grown).then(
        (stop) => {
          if (go.textContent === "Stop") cancel = stop;
        },
        (error: Error) => grown({ error: error.message }));
    });
    return h("section", { class: "workshop" }, h("h3", {}, "Render it with other settings"),
      h("div", { class: "settings" }, field("Preset", preset), field("Steps", steps), field("Seed", seed), field("Sign", sign)),
      h("div", { class: "controls" }, go, bar), words, h("div", { class: "portrait" }, image));
  };
}

function field(words: string, control: HTMLElement): HTMLElement {
  return h("label", {}, h("span", {}, words), control);
}
