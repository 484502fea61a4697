/** The map on the graphics card, by deck.gl. */

import { Deck, OrthographicView } from "@deck.gl/core";
import { BitmapLayer, IconLayer, LineLayer, ScatterplotLayer } from "@deck.gl/layers";
import type { Sheet } from "../data";
import type { Dots, Frame, Link, Renderer, Ring, Thumbnail } from "./frame";

interface Atlas {
  image: HTMLImageElement;
  mapping: Record<string, { x: number; y: number; width: number; height: number }>;
}

/**
 * Whether WebGL 2 is here and worth using: a processor that imitates a graphics card is slower than a plain canvas.
 * `?renderer=webgl` in the page's address takes the imitation too, `?renderer=canvas` takes no WebGL at all.
 */
export function hasWebGL(): boolean {
  const wish = new URLSearchParams(location.search).get("renderer");
  const context = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: wish !== "webgl" });
  if (!context || wish === "canvas") return false;
  const names = context.getExtension("WEBGL_debug_renderer_info");
  const card = String(context.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : context.RENDERER));
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return wish === "webgl" || !/swiftshader|llvmpipe|softpipe|software|basic render/i.test(card);
}

/** `lost` is called when the graphics card is gone, at the start or later. */
export function deckRenderer(parent: HTMLElement, lost: () => void): Renderer {
  const canvas = document.createElement("canvas");
  canvas.className = "drawing";
  canvas.setAttribute("aria-hidden", "true");
  parent.append(canvas);
  canvas.addEventListener("webglcontextlost", lost, { once: true });
  let sheets: { of: Sheet; sheet: Atlas; held: Set<number> }[] = [];
  const frameImage = roundedSquare();
  const deck = new Deck({
    canvas,
    width: "100%",
    height: "100%",
    views: new OrthographicView({ id: "map", flipY: false }),
    initialViewState: { target: [0, 0, 0], zoom: 0 },
    controller: false,
    layers: [],
    onLoad: () => {
      canvas.tabIndex = -1; // deck.gl made it focusable; the keyboard belongs to the element around it
    },
    onError: (error) => {
      console.warn(error);
      lost();
    },
  });

  const pictured = (items: Thumbnail[], id: string): IconLayer<Thumbnail>[] => [
    frames(items, frameImage, id),
    ...sheets.map(({ of, sheet, held }) => pictures(items.filter((item) => held.has(item.unit)), sheet, `${id}-${of.number}`)),
  ];

  return {
    name: "webgl",
    addSheet: (sheet) => sheets.push({ of: sheet, sheet: cells(sheet), held: new Set(sheet.units) }),
    removeSheet: (sheet) => (sheets = sheets.filter(({ of }) => of !== sheet)),
    destroy() {
      deck.finalize();
      canvas.remove();
    },
    draw(frame) {
      const { x, y, zoom } = frame.camera;
      deck.setProps({
        viewState: { target: [x, y, 0], zoom },
        layers: [
          frame.picture && new BitmapLayer({
            id: "picture", image: frame.picture as never, bounds: [-1, -1, 1, 1],
            textureParameters: { magFilter: "nearest", minFilter: "linear" },
          }),
          links(frame.links, frame),
          dots(frame.dots, frame),
          ...pictured(frame.thumbnails.filter((item) => !item.top), "low"),
          ...pictured(frame.thumbnails.filter((item) => item.top), "top"),
          rings(frame.rings, frame),
        ],
      });
    },
  };
}

function dots(data: Dots, frame: Frame): ScatterplotLayer {
  return new ScatterplotLayer({
    id: "dots",
    data: {
      length: data.units.length,
      attributes: {
        getPosition: { value: data.positions, size: 2 },
        getFillColor: { value: data.colours, size: 4, normalized: true },
      },
    } as never,
    dataComparator: (a, b) => (a as { attributes?: { getPosition: { value: unknown } } }).attributes?.getPosition.value ===
      (b as { attributes?: { getPosition: { value: unknown } } }).attributes?.getPosition.value,
    getRadius: 1,
    radiusScale: frame.radius,
    radiusUnits: "pixels",
    stroked: frame.radius > 2.5,
    getLineColor: [...frame.outline, 90],
    getLineWidth: 1,
    lineWidthUnits: "pixels",
    updateTriggers: { getLineColor: frame.outline },
  });
}

function rings(data: Ring[], frame: Frame): ScatterplotLayer<Ring> {
  return new ScatterplotLayer<Ring>({
    id: "rings",
    data,
    filled: false,
    stroked: true,
    getPosition: (ring) => [ring.x, ring.y],
    getRadius: (ring) => ring.radius,
    radiusUnits: "pixels",
    getLineColor: [...frame.accent],
    getLineWidth: 2.5,
    lineWidthUnits: "pixels",
    updateTriggers: { getLineColor: frame.accent },
  });
}

function links(data: Link[], frame: Frame): LineLayer<Link> {
  return new LineLayer<Link>({
    id: "links",
    data,
    getSourcePosition: (link) => link.from,
    getTargetPosition: (link) => link.to,
    getColor: (link) => [...frame.accent, Math.round(255 * link.alpha)],
    getWidth: 1.5,
    updateTriggers: { getColor: frame.accent },
  });
}

function frames(data: Thumbnail[], image: HTMLCanvasElement, id: string): IconLayer<Thumbnail> {
  const side = image.width;
  return new IconLayer<Thumbnail>({
    id: `frames-${id}`,
    data,
    iconAtlas: image as never,
    iconMapping: { square: { x: 0, y: 0, width: side, height: side, mask: true } },
    getIcon: () => "square",
    getPosition: (item) => [item.x, item.y],
    getSize: (item) => item.size + 2 * item.frameWidth,
    getColor: (item) => [...item.frame, Math.round(255 * item.alpha)],
  });
}

function pictures(data: Thumbnail[], sheet: Atlas, id: string): IconLayer<Thumbnail> {
  return new IconLayer<Thumbnail>({
    id: `pictures-${id}`,
    data,
    iconAtlas: sheet.image as never,
    iconMapping: sheet.mapping,
    getIcon: (item) => String(item.unit),
    getPosition: (item) => [item.x, item.y],
    getSize: (item) => item.size,
    getColor: (item) => [255, 255, 255, Math.round(255 * item.alpha)],
    alphaCutoff: 0.01,
  });
}

function cells(sheet: Sheet): Atlas {
  const mapping: Atlas["mapping"] = {};
  sheet.units.forEach((unit, place) => {
    const [x, y] = [(place % sheet.columns) * sheet.cell, Math.floor(place / sheet.columns) * sheet.cell];
    mapping[String(unit)] = { x, y, width: sheet.cell, height: sheet.cell };
  });
  return { image: sheet.image, mapping };
}

/** A white square with round corners, tinted into the frame of each picture. */
function roundedSquare(): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 128;
  const context = canvas.getContext("2d");
  if (context) {
    context.fillStyle = "#fff";
    context.beginPath();
    context.roundRect(0, 0, 128, 128, 14);
    context.fill();
  }
  return canvas;
}
