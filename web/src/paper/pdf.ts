/** The figure as PDF (ISO 32000): one page of its size, circles as curves, words in Helvetica, pictures as JPEG. */

import { HAIR, INK, type Drawing } from "./drawing";

/** Points of a millimetre; a circle's handles (four Bézier curves). */
const POINT = 72 / 25.4;
const HANDLE = 0.5523;

export async function asPdf(drawing: Drawing): Promise<Blob> {
  const { width, height, shapes } = drawing;
  const images: Uint8Array[] = [];
  const sizes: [number, number][] = [];
  const lines: string[] = [`${number(POINT)} 0 0 ${number(-POINT)} 0 ${number(height * POINT)} cm`];
  const alphas = new Set<number>([1]);
  for (const shape of shapes) {
    if (shape.kind === "dots") {
      lines.push(`${colour(HAIR)} RG ${number(shape.line)} w`);
      let last = 1;
      for (const { x, y, colour: fill, alpha } of shape.dots) {
        const share = Math.round(alpha * 100) / 100;
        alphas.add(share);
        if (share !== last) lines.push(`/A${Math.round(share * 100)} gs`);
        last = share;
        lines.push(`${colour(fill)} rg ${circle(x, y, shape.radius)} B`);
      }
      if (last !== 1) lines.push("/A100 gs");
    } else if (shape.kind === "box") {
      lines.push(`${colour(shape.colour)} rg ${[shape.x, shape.y, shape.width, shape.height].map(number).join(" ")} re f`);
    } else if (shape.kind === "image") {
      lines.push(`q ${number(shape.width)} 0 0 ${number(-shape.height)} ${number(shape.x)} ${number(shape.y + shape.height)} cm /I${images.length} Do Q`);
      sizes.push([shape.canvas.width, shape.canvas.height]);
      const address = onWhite(shape.canvas).toDataURL("image/jpeg", 0.95); // toBlob waits for idle time, a second a picture
      images.push(Uint8Array.from(atob(address.slice(address.indexOf(",") + 1)), (sign) => sign.charCodeAt(0)));
    } else {
      const wide = measure(shape.words, shape.size);
      const left = shape.x - (shape.anchor === "end" ? wide : shape.anchor === "middle" ? wide / 2 : 0);
      lines.push(`BT ${colour(INK)} rg /F ${number(shape.size)} Tf 1 0 0 -1 ${number(left)} ${number(shape.y)} Tm ${hexadecimal(shape.words)} Tj ET`);
    }
  }
  const resources = `<< /Font << /F 4 0 R >> /ExtGState << ${[...alphas].map((alpha) => `/A${Math.round(alpha * 100)} << /ca ${alpha} /CA ${alpha} >>`).join(" ")} >> /XObject << ${images.map((_, k) => `/I${k} ${6 + k} 0 R`).join(" ")} >> >>`;
  const content = await deflated(lines.join("\n"));
  return assemble([
    ["<< /Type /Catalog /Pages 2 0 R >>"],
    ["<< /Type /Pages /Kids [3 0 R] /Count 1 >>"],
    [`<< /Type /Page /Parent 2 0 R /MediaBox [0 0 ${number(width * POINT)} ${number(height * POINT)}] /Contents 5 0 R /Resources ${resources} >>`],
    ["<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"],
    [`<< /Length ${content.length} /Filter /FlateDecode >>\nstream\n`, content, "\nendstream"],
    ...images.map((image, k): Part[] => [
      `<< /Type /XObject /Subtype /Image /Width ${sizes[k][0]} /Height ${sizes[k][1]} /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode /Length ${image.length} >>\nstream\n`,
      image, "\nendstream"]),
  ]);
}

type Part = string | Uint8Array;

/** The objects, numbered from 1, with the table of where each begins. */
function assemble(objects: Part[][]): Blob {
  const encoder = new TextEncoder();
  const parts: Uint8Array[] = [encoder.encode("%PDF-1.4\n")];
  let length = parts[0].length;
  const add = (part: Part): void => {
    const bytes = typeof part === "string" ? encoder.encode(part) : part;
    parts.push(bytes);
    length += bytes.length;
  };
  const starts = objects.map((object, k) => {
    const start = length;
    add(`${k + 1} 0 obj\n`);
    object.forEach(add);
    add("\nendobj\n");
    return start;
  });
  const table = length;
  add(`xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${starts.map((start) => `${String(start).padStart(10, "0")} 00000 n \n`).join("")}`);
  add(`trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${table}\n%%EOF\n`);
  return new Blob(parts as BlobPart[], { type: "application/pdf" });
}

async function deflated(text: string): Promise<Uint8Array> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function circle(x: number, y: number, radius: number): string {
  const handle = radius * HANDLE;
  const at = (dx: number, dy: number): string => `${number(x + dx)} ${number(y + dy)}`;
  return `${at(radius, 0)} m ${at(radius, handle)} ${at(handle, radius)} ${at(0, radius)} c ${at(-handle, radius)} ${at(-radius, handle)} ${at(-radius, 0)} c `
    + `${at(-radius, -handle)} ${at(-handle, -radius)} ${at(0, -radius)} c ${at(handle, -radius)} ${at(radius, -handle)} ${at(radius, 0)} c h`;
}

/** JPEG knows no transparency. */
function onWhite(canvas: HTMLCanvasElement): HTMLCanvasElement {
  const white = document.createElement("canvas");
  [white.width, white.height] = [canvas.width, canvas.height];
  const context = white.getContext("2d");
  if (!context) return canvas;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, white.width, white.height);
  context.drawImage(canvas, 0, 0);
  return white;
}

let ruler: CanvasRenderingContext2D | null = null;

/** The width of words of a size, both in one measure. */
function measure(words: string, size: number): number {
  ruler ??= document.createElement("canvas").getContext("2d");
  if (!ruler) return 0;
  ruler.font = "100px Helvetica, Arial, 'Liberation Sans', sans-serif";
  return (ruler.measureText(words).width / 100) * size;
}

/** Words in Latin letters; the font has no others, which become question marks. */
function hexadecimal(words: string): string {
  const known: Record<string, number> = { "−": 0x2d, "–": 0x96, "—": 0x97, "“": 0x93, "”": 0x94, "…": 0x85, "×": 0xd7 };
  const bytes = [...words].map((sign) => known[sign] ?? (sign.charCodeAt(0) >= 32 && sign.charCodeAt(0) <= 255 ? sign.charCodeAt(0) : 0x3f));
  return `<${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")}>`;
}

function colour(rgb: readonly number[]): string {
  return rgb.map((part) => number(part / 255)).join(" ");
}

function number(value: number): string {
  return String(Number(value.toFixed(4)));
}
