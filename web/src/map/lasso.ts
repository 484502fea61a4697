/** Drawing round units with the pointer: with Shift held, or after a press of the lasso's button. */

import { h, svg } from "../dom";

/** Pixels between two corners of the line. */
const STEP = 3;

export class Lasso {
  /** Whether the next press draws. */
  armed = false;
  onArmed: () => void = () => undefined;
  private corners: [number, number][] = [];
  private readonly hint = h("p", { class: "over hint", role: "status", hidden: true }, "Draw round the units to select; Esc cancels");
  private readonly path = svg("path", { class: "lasso-line" });

  /** `done` is given the corners, in pixels of the stage. */
  constructor(private readonly stage: HTMLElement, private readonly done: (corners: [number, number][]) => void) {
    stage.append(svg("svg", { class: "lasso", "aria-hidden": "true" }, this.path), this.hint);
  }

  arm(armed: boolean): void {
    this.armed = armed;
    this.stage.classList.toggle("drawing-line", armed);
    this.hint.hidden = !armed;
    this.onArmed();
  }

  wanted(event: PointerEvent): boolean {
    return this.armed || event.shiftKey;
  }

  draw(left: number, top: number, done: boolean): void {
    const last = this.corners[this.corners.length - 1];
    if (!last || Math.hypot(left - last[0], top - last[1]) >= STEP) this.corners.push([left, top]);
    this.path.setAttribute("d", done ? "" : `M${this.corners.map((corner) => corner.join(",")).join("L")}Z`);
    if (!done) return;
    const { corners } = this;
    this.corners = [];
    this.arm(false);
    this.done(corners.length > 2 ? corners : []);
  }
}
