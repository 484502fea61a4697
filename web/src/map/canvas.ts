/** The map where there is no WebGL, or only a slow imitation of it: the same frame on a plain canvas. */

import type { Sheet } from "../data";
import { css } from "../palette";
import { toScreen } from "./camera";
import type { Frame, Renderer, Thumbnail } from "./frame";
import { stampDots } from "./stamp";

export function canvasRenderer(parent: HTMLElement): Renderer | null {
  const canvas = document.createElement("canvas");
  canvas.className = "drawing";
  canvas.setAttribute("aria-hidden", "true");
  const context = canvas.getContext("2d", { alpha: false });
  if (!context) return null;
  parent.append(canvas);
  let image = new ImageData(1, 1);
  const cells = new Map<number, { sheet: Sheet; place: number }>();

  const thumbnail = (frame: Frame, item: Thumbnail): void => {
    const found = cells.get(item.unit);
    if (!found) return;
    const { sheet, place } = found;
    const [left, top] = toScreen(frame.camera, frame, item.x, item.y);
    const border = item.size + 2 * item.frameWidth;
    context.globalAlpha = item.alpha;
    context.fillStyle = css(item.frame);
    context.beginPath();
    context.roundRect(left - border / 2, top - border / 2, border, border, border * 0.1);
    context.fill();
    context.drawImage(
      sheet.image, (place % sheet.columns) * sheet.cell, Math.floor(place / sheet.columns) * sheet.cell,
      sheet.cell, sheet.cell, left - item.size / 2, top - item.size / 2, item.size, item.size,
    );
    context.globalAlpha = 1;
  };

  return {
    name: "canvas",
    addSheet: (sheet) => sheet.units.forEach((unit, place) => cells.set(unit, { sheet, place })),
    removeSheet: (sheet) => sheet.units.forEach((unit) => cells.delete(unit)),
    destroy: () => canvas.remove(),
    draw(frame) {
      const ratio = Math.min(devicePixelRatio || 1, 2);
      const [width, height] = [Math.round(frame.width * ratio), Math.round(frame.height * ratio)];
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
      if (image.width !== width || image.height !== height) image = new ImageData(width, height);
      stampDots(image, frame, frame.ground, ratio);
      context.putImageData(image, 0, 0);
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      if (frame.picture) {
        const [left, top] = toScreen(frame.camera, frame, -1, 1);
        const side = 2 * 2 ** frame.camera.zoom;
        context.imageSmoothingEnabled = side < frame.picture.width;
        context.drawImage(frame.picture, left, top, side, side);
        context.imageSmoothingEnabled = true;
      }
      for (const link of frame.links) {
        context.strokeStyle = css(frame.accent, link.alpha);
        context.lineWidth = 1.5;
        context.beginPath();
        context.moveTo(...toScreen(frame.camera, frame, ...link.from));
        context.lineTo(...toScreen(frame.camera, frame, ...link.to));
        context.stroke();
      }
      for (const item of frame.thumbnails) thumbnail(frame, item);
      context.strokeStyle = css(frame.accent);
      context.lineWidth = 2.5;
      for (const ring of frame.rings) {
        const [left, top] = toScreen(frame.camera, frame, ring.x, ring.y);
        context.beginPath();
        context.arc(left, top, ring.radius, 0, 7);
        context.stroke();
      }
    },
  };
}
