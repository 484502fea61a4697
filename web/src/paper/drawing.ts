/** A figure in millimetres, from the top left: what SVG and PDF are both written from. */

import type { Rgb } from "../palette";

export type Shape =
  | { kind: "dots"; radius: number; line: number; dots: { x: number; y: number; colour: Rgb; alpha: number }[] }
  | { kind: "box"; x: number; y: number; width: number; height: number; colour: Rgb }
  | { kind: "image"; x: number; y: number; width: number; height: number; canvas: HTMLCanvasElement }
  | { kind: "text"; x: number; y: number; size: number; words: string; anchor?: "start" | "middle" | "end" };

export interface Drawing {
  width: number;
  height: number;
  shapes: Shape[];
}

/** The ink of words, and that of the hairlines around dots. */
export const INK: Rgb = [20, 26, 34];
export const HAIR: Rgb = [170, 174, 179];

const round = (value: number): string => String(Number(value.toFixed(3)));

/** The figure as SVG, its size in millimetres. */
export function asSvg({ width, height, shapes }: Drawing): string {
  const hex = (colour: Rgb): string => `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  const escape = (text: string): string => text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "").replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const body = shapes.map((shape) => {
    switch (shape.kind) {
      case "dots":
        return `<g stroke="${hex(HAIR)}" stroke-width="${round(shape.line)}">${shape.dots.map(({ x, y, colour, alpha }) =>
          `<circle cx="${round(x)}" cy="${round(y)}" r="${round(shape.radius)}" fill="${hex(colour)}"${alpha < 1 ? ` opacity="${round(alpha)}"` : ""}/>`).join("")}</g>`;
      case "box":
        return `<rect x="${round(shape.x)}" y="${round(shape.y)}" width="${round(shape.width)}" height="${round(shape.height)}" fill="${hex(shape.colour)}"/>`;
      case "image":
        return `<image x="${round(shape.x)}" y="${round(shape.y)}" width="${round(shape.width)}" height="${round(shape.height)}" preserveAspectRatio="none" href="${shape.canvas.toDataURL("image/png")}"/>`;
      case "text":
        return `<text x="${round(shape.x)}" y="${round(shape.y)}" font-size="${round(shape.size)}" text-anchor="${shape.anchor ?? "start"}" fill="${hex(INK)}">${escape(shape.words)}</text>`;
    }
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="${round(width)}mm" height="${round(height)}mm" viewBox="0 0 ${round(width)} ${round(height)}" font-family="Helvetica, Arial, sans-serif"><rect width="100%" height="100%" fill="#fff"/>${body.join("")}</svg>\n`;
}

/** The figure as a picture of `dpi` pixels an inch, which it says of itself. */
export async function asPng(drawing: Drawing, dpi: number): Promise<Blob> {
  const address = URL.createObjectURL(new Blob([asSvg(drawing)], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = Math.round((drawing.width / 25.4) * dpi);
    canvas.height = Math.round((drawing.height / 25.4) * dpi);
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    return withDensity(await blobOf(canvas, "image/png"), dpi);
  } finally {
    URL.revokeObjectURL(address);
  }
}

function blobOf(canvas: HTMLCanvasElement, type: string): Promise<Blob> {
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture is too large for this browser"))), type, 0.95));
}

/** A PNG with the chunk pHYs, pixels a metre, behind its head (PNG specification, 11.3.5.3). */
async function withDensity(picture: Blob, dpi: number): Promise<Blob> {
  const chunk = new DataView(new ArrayBuffer(21));
  const perMetre = Math.round(dpi / 0.0254);
  chunk.setUint32(0, 9);
  [0x70, 0x48, 0x59, 0x73].forEach((byte, k) => chunk.setUint8(4 + k, byte));
  chunk.setUint32(8, perMetre);
  chunk.setUint32(12, perMetre);
  chunk.setUint8(16, 1);
  let crc = 0xffffffff;
  for (let k = 4; k < 17; k++) {
    crc ^= chunk.getUint8(k);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  chunk.setUint32(17, (crc ^ 0xffffffff) >>> 0);
  return new Blob([picture.slice(0, 33), chunk.buffer, picture.slice(33)], { type: "image/png" });
}
