/** The curve of a rendering: its score at each step, as a small drawing with axes. */

import { number, svg } from "../dom";

const [WIDTH, HEIGHT] = [320, 120];
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 10, 10, 26];

export function curve(scores: Float32Array): SVGElement | null {
  const steps = [...scores].map((score, step) => [step, score]).filter(([, score]) => Number.isFinite(score));
  if (steps.length < 2) return null;
  const values = steps.map(([, score]) => score);
  const ticks = niceTicks(Math.min(...values), Math.max(...values));
  const [low, high] = [Math.min(ticks[0], ...values), Math.max(ticks[ticks.length - 1], ...values)];
  const last = steps[steps.length - 1][0];
  const x = (step: number): number => LEFT + (step / Math.max(1, last)) * (WIDTH - LEFT - RIGHT);
  const y = (score: number): number => TOP + (1 - (score - low) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);
  const path = steps.map(([step, score]) => `${x(step).toFixed(1)},${y(score).toFixed(1)}`).join("L");
  const final = values[values.length - 1];
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", role: "img",
      "aria-label": `Score over ${last + 1} steps, from ${number(values[0])} to ${number(final)}` },
    ...ticks.map((tick) => svg("g", {},
      svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick), class: "rule" }),
      svg("text", { x: LEFT - 6, y: y(tick) + 3.5, "text-anchor": "end" }, number(tick)))),
    svg("text", { x: LEFT, y: HEIGHT - 8, "text-anchor": "middle" }, "0"),
    svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 8, "text-anchor": "end" }, `${last} steps`),
    svg("path", { d: `M${path}`, class: "line" }),
    svg("circle", { cx: x(last), cy: y(final), r: 3, class: "end" }),
  );
}

/** Two to four round numbers that cover the range. */
function niceTicks(low: number, high: number): number[] {
  if (!(high > low)) return [low];
  const raw = (high - low) / 2.5;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw) ?? raw;
  const ticks: number[] = [];
  for (let tick = Math.floor(low / step) * step; tick <= high + step * 1e-6; tick += step) {
    if (tick >= low - step * 0.4) ticks.push(Number(tick.toPrecision(6)));
  }
  return ticks;
}
