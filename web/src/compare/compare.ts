/** Atlases side by side: what is chosen in one is chosen in the others, each unit by its match. */

import "./compare.css";
import { h, byId } from "../dom";
import { read, type Word } from "../embed";
import type { Camera } from "../map/camera";
import { startTheme } from "../theme";
import { layersView } from "./layers";
import { readComparison, type Comparison } from "./matches";

interface Pane {
  frame: HTMLIFrameElement;
  says: HTMLElement;
  ready: boolean;
  unit: string | null;
  stimulus: string | null;
  hover: string | null;
}

class Shell {
  readonly panes: Pane[];
  /** The pane where the unit was opened, and its address. */
  opened: { pane: number; unit: string } | null = null;
  stimulus: string | null = null;
  together = true;
  private hash = "";
  private readonly choice: HTMLSelectElement;

  constructor(readonly comparison: Comparison) {
    this.choice = this.bar();
    this.panes = comparison.sides.map(({ title }, number) => this.pane(title, number));
    addEventListener("message", (event) => this.hear(event));
    addEventListener("hashchange", () => this.follow());
    this.follow();
  }

  private bar(): HTMLSelectElement {
    const { sides, stimuli } = this.comparison;
    const choice = h("select", { id: "stimulus", change: () => this.setStimulus(choice.value ? stimuli[Number(choice.value)] : null) },
      h("option", { value: "" }, "None: colours of the layers"),
      ...stimuli.map((name, number) => h("option", { value: number }, name)));
    const layers = h("button", { type: "button", class: "button", "aria-expanded": "false", "aria-controls": "layers" }, "Layers");
    const box = byId("layers");
    const open = (wanted: boolean): void => {
      box.hidden = !wanted;
      layers.setAttribute("aria-expanded", String(wanted));
      (wanted ? box : layers).focus();
    };
    layers.addEventListener("click", () => open(box.hidden));
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !box.hidden) open(false);
    });
    const together = h("input", { type: "checkbox", checked: true, change: () => (this.together = together.checked) });
    byId("bar").append(
      h("h1", {}, sides.map(({ title }) => title).join(" · ")),
      h("label", { class: "field" }, h("span", {}, "Stimulus"), choice),
      h("label", { class: "check" }, together, "Move together"), layers);
    return choice;
  }

  private pane(title: string, number: number): Pane {
    const says = h("p", { class: "says", "aria-live": "polite" });
    const frame = h("iframe", { src: `atlas-${number}/index.html?embed=1`, title: `Atlas ${number + 1}: ${title}` });
    byId("panes").append(h("section", { class: "pane", "aria-label": title },
      h("div", { class: "pane-head" }, h("h2", {}, title), says), frame));
    return { frame, says, ready: false, unit: null, stimulus: null, hover: null };
  }

  /** A page tells of a change. Its first word says that it is there, and it is told where the others are. */
  private hear(event: MessageEvent): void {
    const number = this.panes.findIndex((pane) => pane.frame.contentWindow === event.source);
    const word = number < 0 ? null : read(event.data);
    if (!word) return;
    const pane = this.panes[number];
    if (!pane.ready) {
      pane.ready = true;
      this.tell(number, { stimulus: this.stimulus, unit: this.unitFor(number) });
      return;
    }
    if (word.stimulus !== undefined && word.stimulus !== pane.stimulus) {
      pane.stimulus = word.stimulus;
      this.setStimulus(word.stimulus, number);
    }
    if (word.unit !== undefined && word.unit !== pane.unit) {
      pane.unit = word.unit;
      this.open(word.unit === null ? null : { pane: number, unit: word.unit }, number);
    }
    if (word.hover !== undefined && word.hover !== pane.hover) {
      pane.hover = word.hover;
      this.point(word.hover === null ? null : { pane: number, unit: word.hover }, number);
    }
    if (word.camera && this.together) this.look(word.camera, number);
  }

  private tell(number: number, word: Omit<Word, "neuronatlas">): void {
    const pane = this.panes[number];
    if (!pane.ready) return;
    if (word.unit !== undefined) pane.unit = word.unit;
    if (word.stimulus !== undefined) pane.stimulus = word.stimulus;
    pane.frame.contentWindow?.postMessage({ neuronatlas: 1, ...word }, "*");
  }

  /** A stimulus that the atlases do not share stays where it was chosen. */
  private setStimulus(name: string | null, except = -1): void {
    const place = name === null ? -1 : this.comparison.stimuli.indexOf(name);
    this.stimulus = place < 0 ? null : name;
    this.choice.value = place < 0 ? "" : String(place);
    this.panes.forEach((_, number) => number !== except && this.tell(number, { stimulus: this.stimulus }));
    this.write();
  }

  private open(opened: Shell["opened"], except = -1): void {
    this.opened = opened;
    this.panes.forEach((_, number) => number !== except && this.tell(number, { unit: this.unitFor(number) }));
    this.describe();
    this.write();
  }

  /** The match of the unit under the pointer has a ring in the other panes. */
  private point(under: Shell["opened"], except: number): void {
    this.panes.forEach((_, number) => number !== except && this.tell(number, { hover: this.unitFor(number, under) }));
  }

  private look(camera: Camera, except: number): void {
    this.panes.forEach((_, number) => number !== except && this.tell(number, { camera }));
  }

  /** The address that a pane shows: the unit that was opened, or its match. */
  private unitFor(number: number, opened = this.opened): string | null {
    if (!opened) return null;
    const { pane, unit } = opened;
    if (pane === number) return unit;
    const from = this.comparison.sides[pane].find.get(unit);
    const found = from === undefined ? null : this.comparison.pair(pane, number).match(from);
    return found && this.comparison.sides[number].addresses[found.unit];
  }

  private describe(): void {
    this.panes.forEach(({ says }, number) => {
      const { opened, comparison } = this;
      says.replaceChildren();
      delete says.dataset["match"];
      if (!opened) {
        says.append("Open a unit: the others show its match.");
        return;
      }
      if (opened.pane === number) {
        says.append("Opened: ", h("b", { class: "address" }, opened.unit));
        return;
      }
      const from = comparison.sides[opened.pane].find.get(opened.unit);
      const found = from === undefined ? null : comparison.pair(opened.pane, number).match(from);
      says.dataset["match"] = found === null ? "none" : found.mutual ? "mutual" : "one way";
      if (found === null) {
        says.append("No match: its responses to the shared stimuli do not vary.");
        return;
      }
      says.append(h("b", { class: "correlation" }, `r = ${decimals(found.correlation)}`), " ",
        h("b", { class: "address" }, comparison.sides[number].addresses[found.unit]),
        found.mutual ? " · best match both ways" : " · best match one way: it answers more like another");
    });
  }

  /** `#unit=0:ADDRESS&stimulus=NAME` */
  private write(): void {
    const parts: string[] = [];
    if (this.opened) parts.push(`unit=${this.opened.pane}:${encodeURIComponent(this.opened.unit)}`);
    if (this.stimulus !== null) parts.push(`stimulus=${encodeURIComponent(this.stimulus)}`);
    this.hash = parts.length ? `#${parts.join("&")}` : "#";
    if (this.hash !== (location.hash || "#")) location.replace(this.hash);
  }

  private follow(): void {
    if (this.hash === (location.hash || "#") && this.hash !== "") return;
    const given = new Map(location.hash.slice(1).split("&").map((part) => {
      const at = part.indexOf("=");
      return [part.slice(0, at), decode(part.slice(at + 1))];
    }));
    const [, pane = "", unit = ""] = /^(\d+):(.*)$/s.exec(given.get("unit") ?? "") ?? [];
    const known = this.comparison.sides[Number(pane)]?.find.has(unit) && pane !== "";
    this.opened = known ? { pane: Number(pane), unit } : null;
    this.setStimulus(given.get("stimulus") ?? null);
    this.open(this.opened);
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function decimals(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2).replace("-", "−") : "none";
}

/** `window.neuronatlas`: what the page shows just now, to be read by tests and by the curious; nothing can be set. */
function expose(shell: Shell): void {
  const state = {
    place: "compare",
    /** Panes that have drawn, once all of them have. */
    get drawn() {
      return shell.panes.every(({ ready }) => ready) ? shell.panes.length : 0;
    },
    get stimulus() {
      return shell.stimulus;
    },
    get units() {
      return shell.panes.map(({ unit }) => unit);
    },
  };
  Object.defineProperty(globalThis, "neuronatlas", { value: Object.freeze(state) });
}

try {
  startTheme();
  const comparison = readComparison();
  document.title = `${comparison.sides.map(({ title }) => title).join(" · ")} · side by side`;
  byId("panes").dataset["panes"] = String(comparison.sides.length);
  layersView(comparison);
  expose(new Shell(comparison));
} catch (error) {
  document.body.replaceChildren(h("p", { class: "fatal" }, `This page could not start: ${(error as Error).message}`));
  console.error(error);
}
