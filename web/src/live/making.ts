/** Stimuli made on the spot: drawn with the pointer, or filmed with the camera. */

import { h } from "../dom";

const SIDE = 224;
/** Milliseconds between two pictures of the camera, at least. */
const PAUSE = 150;

/** A sheet to draw on; `each` is given it after every stroke. */
export function drawing(each: (picture: Blob) => void): void {
  const canvas = h("canvas", { width: SIDE, height: SIDE, class: "paper", tabindex: "0", role: "img", "aria-label": "A sheet to draw on with the pointer" });
  const context = canvas.getContext("2d");
  if (!context) return;
  const colour = h("input", { type: "color", value: "#1d1d1d", "aria-label": "Colour of the brush" });
  const size = h("input", { type: "range", min: 2, max: 60, value: 14, "aria-label": "Size of the brush in pixels" });
  const send = (): void => canvas.toBlob((picture) => picture && each(picture), "image/png");
  const clear = (): void => {
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, SIDE, SIDE);
  };
  clear();
  const place = (event: PointerEvent): [number, number] => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE];
  };
  let last: [number, number] | null = null;
  const stroke = (event: PointerEvent): void => {
    if (!last) return;
    const now = place(event);
    context.strokeStyle = colour.value;
    context.lineWidth = Number(size.value);
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(now[0] + 0.01, now[1]);
    context.stroke();
    last = now;
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    stroke(event);
  });
  canvas.addEventListener("pointermove", stroke);
  canvas.addEventListener("pointerup", () => {
    last = null;
    send();
  });
  board("Draw a stimulus", () => undefined, canvas, h("div", { class: "controls" }, colour, size,
    h("button", { type: "button", class: "button", click: () => {
      clear();
      send();
    } }, "Clear")));
}

/** The camera's picture, again and again; `words` says why there is none. */
export function filming(each: (picture: Blob) => void, words: HTMLElement): void {
  const media = navigator.mediaDevices as MediaDevices | undefined;
  if (!media) {
    words.textContent = "This browser gives no camera to this address: open it as 127.0.0.1 or localhost.";
    return;
  }
  media.getUserMedia({ video: { width: 640, height: 480 }, audio: false }).then(async (stream) => {
    const video = h("video", { autoplay: true, muted: true, playsinline: true, class: "paper" });
    video.muted = true;
    video.srcObject = stream;
    await video.play();
    const canvas = h("canvas", { width: SIDE, height: SIDE });
    const timer = window.setInterval(() => {
      const side = Math.min(video.videoWidth, video.videoHeight);
      if (!side) return;
      canvas.getContext("2d")?.drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, SIDE, SIDE);
      canvas.toBlob((picture) => picture && each(picture), "image/jpeg", 0.92);
    }, PAUSE);
    board("Film a stimulus", () => {
      clearInterval(timer);
      for (const track of stream.getTracks()) track.stop();
    }, video);
  }).catch((error: Error) => (words.textContent = `The camera is not to be had: ${error.message}`));
}

/** A small window over the map that leaves the map in use. */
function board(title: string, closed: () => void, ...children: HTMLElement[]): void {
  document.querySelector<HTMLElement>(".board .close")?.click();
  const box = h("div", { class: "over board", role: "dialog", "aria-label": title }, h("div", { class: "dialog-head" }, h("h2", {}, title),
    h("button", { type: "button", class: "button close", click: () => {
      closed();
      box.remove();
    } }, "Close")), ...children);
  document.getElementById("place")?.append(box);
}
