/** What the map shows now as a figure for print: PDF, SVG or PNG, its width in millimetres. */

import type { App } from "../app";
import { byId, h, icon } from "../dom";
import { colourDots } from "../map/colours";
import { toScreen } from "../map/camera";
import type { MapView } from "../map/map";
import { named, subjectOf, told } from "../map/shown";
import { differenceColour, layerColours, responseColour, type Rgb } from "../palette";
import { save } from "../panels/records";
import { asPng, asSvg, type Drawing, type Shape } from "./drawing";
import { asPdf } from "./pdf";

/** Dots drawn each by itself; more are one picture. */
const VECTOR = 100_000;
/** Points of words, at 1/72 inch, in millimetres. */
const SIZE = 7 * (25.4 / 72);
const BAR = 40;

export function paper(app: App, map: MapView): () => void {
  const width = h("input", { type: "number", id: "paper-width", min: 20, max: 1000, value: 180, required: true });
  const kind = h("select", { id: "paper-kind" }, ...["PDF", "SVG", "PNG"].map((name) => h("option", {}, name)));
  const dpi = h("input", { type: "number", id: "paper-dpi", min: 50, max: 1200, value: 300, required: true });
  const words = h("p", { class: "note", role: "status" });
  const field = (id: string, name: string, control: HTMLElement): HTMLElement => h("div", { class: "field wide" }, h("label", { for: id }, name), control);
  const dots = field("paper-dpi", "Pixels an inch", dpi);
  const follow = (): void => {
    dots.hidden = kind.value !== "PNG";
  };
  kind.addEventListener("change", follow);
  follow();
  const write = async (): Promise<void> => {
    if (!width.reportValidity() || !dpi.reportValidity()) return;
    words.textContent = "Drawing…";
    try {
      const drawing = draw(app, map, Number(width.value));
      const name = `${app.atlas.title}-map.${kind.value.toLowerCase()}`;
      if (kind.value === "SVG") save(name, asSvg(drawing), "image/svg+xml");
      else save(name, kind.value === "PDF" ? await asPdf(drawing) : await asPng(drawing, Number(dpi.value)));
      words.textContent = `${drawing.width} × ${drawing.height.toFixed(1)} mm`;
    } catch (error) {
      words.textContent = (error as Error).message;
    }
  };
  const dialog = byId("paper") as HTMLDialogElement;
  dialog.append(h("div", { class: "dialog-head" }, h("h2", {}, "Save the map as a figure"),
    h("button", { type: "button", class: "round", "aria-label": "Close", click: () => dialog.close() }, icon("close"))),
  h("div", { class: "dialog-body" }, h("p", { class: "note" }, "What is in view now, with its legend, on white."),
    field("paper-kind", "Kind", kind), field("paper-width", "Width in mm", width), dots,
    h("p", {}, h("button", { type: "button", class: "button", click: () => void write() }, "Save")), words));
  return () => dialog.showModal();
}

/** The map in view and its legend; the width in millimetres. */
export function draw(app: App, map: MapView, width: number): Drawing {
  const { size, camera } = map;
  const scale = width / size.width;
  const height = size.height * scale;
  const layers = layerColours(app.atlas.layers.length, false);
  const shapes: Shape[] = [];
  const dots = colourDots(app, map.shown, layers);
  if (map.filling) {
    const [left, top] = toScreen(camera, size, -1, 1);
    const side = 2 * 2 ** camera.zoom * scale;
    shapes.push({ kind: "image", x: left * scale, y: top * scale, width: side, height: side, canvas: map.filling });
  } else {
    const radius = map.radius * scale;
    const found: { x: number; y: number; colour: Rgb; alpha: number }[] = [];
    for (let k = 0; k < dots.units.length; k++) {
      const [left, top] = toScreen(camera, size, dots.positions[2 * k], dots.positions[2 * k + 1]);
      if (left < 0 || top < 0 || left > size.width || top > size.height) continue;
      const [r, g, b, a] = dots.colours.subarray(4 * k, 4 * k + 4);
      found.push({ x: left * scale, y: top * scale, colour: [r, g, b], alpha: a / 255 });
    }
    if (found.length > VECTOR) shapes.push(picture(found, width, height, radius));
    else shapes.push({ kind: "dots", radius, line: 0.1, dots: found });
  }
  for (const item of map.thumbnails) {
    const canvas = map.cut(item.unit);
    if (!canvas) continue;
    const [left, top] = toScreen(camera, size, item.x, item.y);
    const [side, border] = [item.size * scale, (item.size + 2 * item.frameWidth) * scale];
    shapes.push({ kind: "box", x: left * scale - border / 2, y: top * scale - border / 2, width: border, height: border, colour: item.frame },
      { kind: "image", x: left * scale - side / 2, y: top * scale - side / 2, width: side, height: side, canvas });
  }
  const legend = map.shown ? scaleOf(app, map, width, height) : names(app, layers, width, height);
  /** What of the map reaches below its edge is covered. */
  const ground: Shape = { kind: "box", x: 0, y: height, width, height: legend.height - height, colour: [255, 255, 255] };
  return { width, height: legend.height, shapes: [...shapes, ground, ...legend.shapes] };
}

/** Too many dots to be drawn each by itself: 600 pixels an inch. */
function picture(dots: { x: number; y: number; colour: Rgb }[], width: number, height: number, radius: number): Shape {
  const canvas = document.createElement("canvas");
  const density = 600 / 25.4;
  [canvas.width, canvas.height] = [Math.round(width * density), Math.round(height * density)];
  const context = canvas.getContext("2d");
  for (const { x, y, colour } of dots) {
    if (!context) break;
    context.fillStyle = `rgb(${colour.join(" ")})`;
    context.beginPath();
    context.arc(x * density, y * density, radius * density, 0, 7);
    context.fill();
  }
  return { kind: "image", x: 0, y: 0, width, height, canvas };
}

/** A bar of the colours with numbers, and what they are. */
function scaleOf(app: App, map: MapView, width: number, top: number): { shapes: Shape[]; height: number } {
  const { shown } = map;
  const { route } = app;
  if (!shown) return { shapes: [], height: top };
  const subject = subjectOf(route);
  const words = subject ? `${route.minus ? "difference: " : "response to "}${named(app, subject)}${route.minus ? ` minus ${named(app, route.minus)}` : ""}` : route.colour;
  const text = (x: number, y: number, said: string, anchor: "start" | "middle" | "end" = "start"): Shape => ({ kind: "text", x, y, size: SIZE, words: said, anchor });
  if (shown.kind === "patch") return { shapes: [text(2, top + 5, words)], height: top + 7 };
  const steps = 64;
  const shapes: Shape[] = Array.from({ length: steps }, (_, k) => ({ kind: "box", x: 2 + (k / steps) * BAR, y: top + 2, width: BAR / steps + 0.05, height: 2.5,
    colour: shown.kind === "difference" ? differenceColour((2 * k) / (steps - 1) - 1) : responseColour(k / (steps - 1)) }));
  shapes.push(text(2, top + 8, told(shown, shown.low)), text(2 + BAR / 2, top + 8, told(shown, (shown.low + shown.high) / 2), "middle"),
    text(2 + BAR, top + 8, told(shown, shown.high), "end"));
  const lines = [words, subject ? "0 and 1: each unit's 1st and 99th percentile over all stimuli" : "the ends are the 1st and 99th percentile of all units"]
    .flatMap((line) => broken(line, width - 4));
  lines.forEach((line, k) => shapes.push(text(2, top + 12 + 3.4 * k, line)));
  return { shapes, height: top + 12 + 3.4 * lines.length };
}

/** Words in lines that are no wider, each letter taken as six tenths of its size. */
function broken(words: string, width: number): string[] {
  const most = Math.max(8, Math.floor(width / (0.6 * SIZE)));
  const lines = [""];
  for (const word of words.split(" ").flatMap((each) => each.match(new RegExp(`.{1,${most}}`, "gu")) ?? [])) {
    const last = lines[lines.length - 1];
    if (last && last.length + 1 + word.length > most) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines;
}

/** The names of the layers with their colours, in columns. */
function names(app: App, colours: Rgb[], width: number, top: number): { shapes: Shape[]; height: number } {
  const shown = app.atlas.layers.map((layer, k) => ({ layer, k })).filter(({ k }) => !app.route.layers || app.route.layers.has(k));
  const columns = Math.max(1, Math.floor((width - 4) / 34));
  const shapes = shown.flatMap(({ layer, k }, place): Shape[] => {
    const [x, y] = [2 + (place % columns) * 34, top + 3.4 + Math.floor(place / columns) * 3.6];
    const name = layer.name.length > 22 ? `…${layer.name.slice(-21)}` : layer.name;
    return [{ kind: "box", x, y: y - 1.9, width: 2, height: 2, colour: colours[k] }, { kind: "text", x: x + 3, y, size: SIZE, words: name }];
  });
  return { shapes, height: top + 4 + 3.6 * Math.ceil(shown.length / columns) };
}
