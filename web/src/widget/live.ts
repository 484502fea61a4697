/** Layer, channel, preset and steps on one side, the picture that grows on the other. The model holds what is chosen. */

import { h, number } from "../dom";
import { onGround } from "./ground";
import type { End, View } from "./model";

interface Told {
  state: "rendering" | "done" | "stopped" | "failed";
  unit: string;
  step: number;
  steps: number;
  score: number | null;
  words: string;
  /** The picture, and the unit that it is of; they are left out where it stays. */
  image?: string;
  of?: string;
}

const STEPS = [16, 32, 64, 128, 256, 512, 1024];
/** Milliseconds for which the slider must rest. */
const REST = 60;

let views = 0;

export function live({ model, el }: View): End {
  const layers = model.get("_layers") as [string, number][];
  const presets = model.get("_presets") as [string, number][];
  const name = (word: string): string => `neuronatlas-${word}-${views}`;
  views += 1;

  const layer = h("select", { id: name("layer") }, ...layers.map(([each]) => h("option", { value: each }, each)));
  const slider = h("input", { id: name("channel"), type: "range", min: 0, step: 1 });
  const field = h("input", { type: "number", min: 0, step: 1, "aria-label": "Channel, as a number" });
  const preset = h("select", { id: name("preset") }, ...presets.map(([each]) => h("option", { value: each }, each)));
  const steps = h("select", { id: name("steps") });
  const stop = h("button", { type: "button" }, "Stop");
  const again = h("button", { type: "button" }, "Again with another seed");
  const image = h("img", { alt: "", hidden: true });
  const picture = h("div", { class: "picture" }, image);
  const caption = h("figcaption", {});
  const progress = h("progress", { "aria-label": "Progress" });
  const said = h("p", { class: "said" });
  const spoken = h("span", { role: "status", style: "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)" });
  const root = h("div", { class: "neuronatlas-live", role: "group", "aria-label": "Picture of one unit" },
    h("figure", {}, picture, caption),
    h("div", { class: "controls" },
      h("label", { for: layer.id }, "Layer"), layer,
      h("label", { for: slider.id }, "Channel"), h("div", { class: "channel" }, slider, field),
      h("label", { for: preset.id }, "Preset"), preset,
      h("label", { for: steps.id }, "Steps"), steps,
      h("div", { class: "wide buttons" }, stop, again),
      h("div", { class: "wide" }, progress, said, spoken)));
  // The arrow keys go to the control that has the focus, not to JupyterLab, which would choose another cell.
  for (const control of [layer, slider, field, preset, steps, stop, again]) control.dataset["lmSuppressShortcuts"] = "true";
  el.append(root);

  let told: Told | null = null;
  let of = "";

  const choose = (change: Record<string, string | number>): void => {
    for (const [key, value] of Object.entries(change)) model.set(key, value);
    model.save_changes();
  };
  const show = (): void => {
    const chosen = model.get("layer") as string;
    const last = (layers.find(([each]) => each === chosen)?.[1] ?? 1) - 1;
    layer.value = chosen;
    slider.max = field.max = String(last);
    slider.value = String(model.get("channel"));
    if (document.activeElement !== field) field.value = slider.value;
    slider.disabled = last === 0;
    preset.value = model.get("preset") as string;
    const usual = presets.find(([each]) => each === preset.value)?.[1] ?? 0;
    const now = model.get("steps") as number;
    const counts = [...new Set([...STEPS, ...(now ? [now] : [])])].filter((each) => each !== usual).sort((a, b) => a - b);
    steps.replaceChildren(h("option", { value: 0 }, `${usual}, as the preset has it`),
      ...counts.map((each) => h("option", { value: each }, String(each))));
    steps.value = String(now);
  };
  const tell = (word: Told): void => {
    const before = told?.state === word.state && told.unit === word.unit;
    told = word;
    if (word.image !== undefined) {
      image.src = word.image;
      image.hidden = false;
      of = word.of ?? word.unit;
    }
    const { state, step, unit } = word;
    image.classList.toggle("other", of !== unit);
    image.alt = of ? `Picture that drives ${of}${state === "done" ? "" : ", not finished"}` : "";
    caption.replaceChildren(h("span", { class: "address" }, unit),
      of && of !== unit && state !== "rendering" ? `: not drawn; the picture is of ${of}` : "");
    progress.max = word.steps;
    progress.value = step;
    const parts = {
      rendering: [`step ${step} of ${word.steps}`],
      done: ["done"],
      stopped: [`stopped at step ${step} of ${word.steps}`],
      failed: ["failed"],
    }[state];
    if (word.score !== null) parts.push(`score ${number(word.score)}`);
    if (word.words) parts.push(word.words);
    said.textContent = parts.join(" · ");
    said.classList.toggle("failed", state === "failed" || word.words.startsWith("dead"));
    if (!before) spoken.textContent = state === "rendering" ? `Making ${unit}` : `${unit} ${said.textContent}`;
    root.dataset["state"] = state;
    root.setAttribute("aria-busy", String(state === "rendering"));
    stop.textContent = state === "rendering" || state === "done" ? "Stop" : "Start";
    stop.disabled = state === "done";
  };

  let resting = 0;
  const move = (value: number): void => {
    clearTimeout(resting);
    const channel = Math.min(Math.max(Math.round(value) || 0, 0), Number(slider.max));
    resting = window.setTimeout(() => choose({ channel }), REST);
  };
  layer.addEventListener("change", () => {
    const units = layers.find(([each]) => each === layer.value)?.[1] ?? 1;
    choose({ layer: layer.value, channel: Math.min(Number(model.get("channel")), units - 1) });
  });
  slider.addEventListener("input", () => {
    field.value = slider.value;
    move(Number(slider.value));
  });
  field.addEventListener("input", () => {
    if (field.value === "") return;
    slider.value = field.value;
    move(Number(field.value));
  });
  field.addEventListener("change", () => (field.value = slider.value));
  preset.addEventListener("change", () => choose({ preset: preset.value, steps: 0 }));
  steps.addEventListener("change", () => choose({ steps: Number(steps.value) }));
  stop.addEventListener("click", () => model.send({ say: stop.textContent === "Stop" ? "stop" : "start" }));
  again.addEventListener("click", () => choose({ seed: Number(model.get("seed")) + 1 }));

  const endGround = onGround(el, (dark) => (root.dataset["theme"] = dark ? "dark" : "light"));
  const names = ["layer", "channel", "preset", "steps"].map((each) => `change:${each}`);
  for (const each of names) model.on(each, show);
  model.on("msg:custom", tell);
  show();
  model.send({ say: "hello" });
  return () => {
    clearTimeout(resting);
    endGround();
    for (const each of names) model.off(each, show);
    model.off("msg:custom", tell);
  };
}
