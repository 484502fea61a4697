/** Mouse, touch and wheel on the map, told as pans, zooms, hovers and clicks. */

export interface Gestures {
  pan(left: number, top: number): void;
  zoom(step: number, left: number, top: number): void;
  hover(left: number, top: number): void;
  leave(): void;
  click(left: number, top: number, touch: boolean): void;
  /** Whether a press begins a drawing of the pointer rather than a pan. */
  drawing(event: PointerEvent): boolean;
  draw(left: number, top: number, done: boolean): void;
}

const SLACK = 5;

export function listen(stage: HTMLElement, gestures: Gestures): void {
  const fingers = new Map<number, [number, number]>();
  let moved = 0;
  let many = false;
  let drawing = false;

  const at = (event: MouseEvent): [number, number] => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || (event.target as Element).closest("button, a, input, .over")) return;
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    if (fingers.size === 1) [moved, many, drawing] = [0, false, gestures.drawing(event)];
    else many = true;
    if (drawing) gestures.draw(...at(event), false);
  });

  stage.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    const now = at(event);
    if (!before) {
      if (event.pointerType !== "touch") {
        if ((event.target as Element).closest(".over")) gestures.leave();
        else gestures.hover(...now);
      }
      return;
    }
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    moved += Math.abs(dx) + Math.abs(dy);
    if (drawing) {
      gestures.draw(...now, false);
      fingers.set(event.pointerId, now);
      return;
    }
    if (moved <= SLACK && fingers.size === 1) return;
    stage.classList.add("dragging");
    if (fingers.size === 1) gestures.pan(dx, dy);
    if (fingers.size === 2) pinch(event.pointerId, before, now);
    fingers.set(event.pointerId, now);
  });

  const pinch = (id: number, before: [number, number], now: [number, number]): void => {
    const other = [...fingers].find(([finger]) => finger !== id)?.[1];
    if (!other) return;
    gestures.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    const ratio = distance(now, other) / Math.max(1, distance(before, other));
    gestures.zoom(Math.log2(Math.max(ratio, 0.01)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  };

  const lift = (event: PointerEvent): void => {
    if (!fingers.delete(event.pointerId)) return;
    stage.classList.remove("dragging");
    if (drawing) {
      drawing = false;
      return gestures.draw(...at(event), true);
    }
    if (event.type === "pointerup" && moved <= SLACK && !many) {
      gestures.click(...at(event), event.pointerType === "touch");
    }
  };
  stage.addEventListener("pointerup", lift);
  stage.addEventListener("pointercancel", lift);
  stage.addEventListener("pointerleave", () => gestures.leave());

  stage.addEventListener("wheel", (event) => {
    if ((event.target as Element).closest(".over")) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1);
    const step = Math.max(-1, Math.min(1, -pixels * (event.ctrlKey ? 0.012 : 0.0025)));
    gestures.zoom(step, ...at(event));
  }, { passive: false });

  stage.addEventListener("dblclick", (event) => {
    if ((event.target as Element).closest("button, a, input, .over")) return;
    gestures.zoom(1, ...at(event));
  });
}

function distance(a: [number, number], b: [number, number]): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}
