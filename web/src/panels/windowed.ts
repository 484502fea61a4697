/** A grid of very many cells, of which only those in view are in the document. */

export interface Windowed {
  /** Mark the cell of a unit and bring it into view. */
  mark: (unit: number | null) => void;
  stop: () => void;
}

/** Rows made beyond either edge of the window. */
const SPARE = 3;

/** `view` scrolls, `grid` is a CSS grid in it; the height of a row is that of the first. */
export function windowed(view: HTMLElement, grid: HTMLElement, units: number[], make: (unit: number) => HTMLElement): Windowed {
  const before = document.createElement("div");
  const after = document.createElement("div");
  let [columns, height, first, last] = [1, 0, -1, -1];
  let waiting = 0;

  const measure = (): void => {
    grid.replaceChildren(...units.slice(0, 1).map(make));
    const style = getComputedStyle(grid);
    columns = Math.max(1, style.gridTemplateColumns.split(" ").length);
    height = ((grid.firstElementChild as HTMLElement | null)?.offsetHeight ?? 0) + (parseFloat(style.rowGap) || 0);
    [first, last] = [-1, -1];
  };
  const draw = (): void => {
    waiting = 0;
    if (!view.offsetParent || !units.length) return;
    if (!height) measure();
    const rows = Math.ceil(units.length / columns);
    const top = view.scrollTop - grid.offsetTop;
    const from = Math.max(0, Math.min(rows - 1, Math.floor(top / height) - SPARE));
    const to = Math.min(rows, Math.ceil((top + view.clientHeight) / height) + SPARE);
    if (from === first && to === last) return;
    const focused = (document.activeElement as HTMLElement | null)?.dataset["unit"];
    [first, last] = [from, to];
    before.style.height = `${from * height}px`;
    after.style.height = `${(rows - to) * height}px`;
    for (const spacer of [before, after]) {
      spacer.className = "spacer";
      spacer.hidden = spacer.style.height === "0px";
    }
    const here = new Map([...grid.querySelectorAll<HTMLElement>("[data-unit]")].map((cell) => [Number(cell.dataset["unit"]), cell]));
    grid.replaceChildren(before, ...units.slice(from * columns, to * columns).map((unit) => here.get(unit) ?? make(unit)), after);
    if (focused) grid.querySelector<HTMLElement>(`[data-unit="${focused}"]`)?.focus({ preventScroll: true });
  };
  const later = (): void => {
    waiting ||= requestAnimationFrame(draw);
  };
  const resized = new ResizeObserver(() => {
    if (view.offsetParent && units.length) measure();
    draw();
  });
  view.addEventListener("scroll", later, { passive: true });
  resized.observe(view);
  draw();

  return {
    mark(unit) {
      for (const cell of grid.querySelectorAll("[aria-current]")) cell.removeAttribute("aria-current");
      const place = unit === null ? -1 : units.indexOf(unit);
      if (place < 0 || !height) return;
      const top = grid.offsetTop + Math.floor(place / columns) * height;
      if (top < view.scrollTop) view.scrollTop = top;
      else if (top + height > view.scrollTop + view.clientHeight) view.scrollTop = top + height - view.clientHeight;
      draw();
      grid.querySelector(`[data-unit="${unit}"]`)?.setAttribute("aria-current", "true");
    },
    stop() {
      view.removeEventListener("scroll", later);
      resized.disconnect();
      cancelAnimationFrame(waiting);
    },
  };
}
