/** Small parts that several panels show. */

import type { App } from "../app";
import { h } from "../dom";
import { css, layerColours } from "../palette";
import { isDark } from "../theme";

/** The dot of a layer's colour; coloured again when the theme changes. */
export function swatch(app: App, layer: number): HTMLElement {
  const element = h("span", { class: "swatch", "data-layer": layer, "aria-hidden": "true" });
  element.style.backgroundColor = css(layerColours(app.atlas.layers.length, isDark())[layer]);
  return element;
}

export function paintSwatches(app: App): void {
  const colours = layerColours(app.atlas.layers.length, isDark());
  for (const element of document.querySelectorAll<HTMLElement>(".swatch[data-layer]")) {
    element.style.backgroundColor = css(colours[Number(element.dataset["layer"])]);
  }
}

/** The picture of a unit, or a quiet square that says why there is none. */
export function unitPicture(app: App, unit: number, words = true): HTMLElement {
  const { atlas } = app;
  if (!atlas.isPictured(unit)) {
    return h("span", { class: "blank", title: why(app, unit) }, words ? why(app, unit) : null);
  }
  return late(h("img", { alt: `Feature visualization of ${atlas.address(unit)}`, draggable: "false" }), () => atlas.picture(unit));
}

const waiting = new WeakMap<Element, () => Promise<string>>();
const near = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) {
    if (isIntersecting) fetchNow(target as HTMLImageElement);
  }
}, { rootMargin: "300px" });

/** Give an image its address when it comes near the window: pictures lie many to a part, and parts are large. */
export function late(image: HTMLImageElement, source: () => Promise<string>): HTMLImageElement {
  waiting.set(image, source);
  near.observe(image);
  return image;
}

function fetchNow(image: HTMLImageElement): void {
  near.unobserve(image);
  const source = waiting.get(image);
  waiting.delete(image);
  source?.().then((address) => (image.src = address), (error: unknown) => console.error(error));
}

/** Why a unit has no picture. */
export function why(app: App, unit: number): string {
  const status = app.atlas.status(unit);
  if (status === "failed") return "The rendering failed";
  if (status === "dead") return "Dead: nothing drives it";
  if (status === "waiting") return "Not rendered yet";
  if (status === "oom") return "Memory ran out";
  if (status === "constant") return "Constant: it never varied";
  return status || "Not rendered";
}

export function stimulusPicture(app: App, stimulus: number): HTMLImageElement {
  return late(h("img", { alt: "", draggable: "false" }), () => app.atlas.stimulusPicture(stimulus));
}

/** The picture of a unit, or in a dashed frame the stimulus that it likes best. */
export function likeness(app: App, unit: number): HTMLElement {
  const picture = unitPicture(app, unit, false);
  if (app.atlas.isPictured(unit)) return picture;
  app.atlas.detail(unit).then(({ best }) => {
    if (!best.length) return;
    const image = stimulusPicture(app, best[0].stimulus);
    image.className = "stand-in";
    image.title = `Not rendered; its best stimulus is ${app.atlas.stimuli[best[0].stimulus].name}`;
    picture.replaceWith(image);
  }, () => undefined);
  return picture;
}

/** Scroll a list, and nothing around it, until an item of it is in view: `scrollIntoView` moves the page that holds this one, too. */
export function reveal(list: HTMLElement, item: HTMLElement | null | undefined): void {
  if (!item) return;
  const [box, inner] = [list.getBoundingClientRect(), item.getBoundingClientRect()];
  list.scrollTop += Math.min(0, inner.top - box.top) + Math.max(0, inner.bottom - box.bottom);
  list.scrollLeft += Math.min(0, inner.left - box.left) + Math.max(0, inner.right - box.right);
}

/** One tab stop for many buttons: arrow keys move among them. */
export function rove(parent: HTMLElement, selector: string): void {
  const items = (): HTMLElement[] => [...parent.querySelectorAll<HTMLElement>(selector)].filter((item) => item.offsetParent);
  const refresh = (): void => {
    const all = [...parent.querySelectorAll<HTMLElement>(selector)];
    const stop = all.find((item) => item.getAttribute("aria-pressed") === "true" && item.offsetParent) ?? items()[0];
    for (const item of all) item.tabIndex = item === stop ? 0 : -1;
  };
  parent.addEventListener("focusin", (event) => {
    const item = (event.target as Element).closest<HTMLElement>(selector);
    if (!item) return;
    for (const other of parent.querySelectorAll<HTMLElement>(selector)) other.tabIndex = other === item ? 0 : -1;
  });
  parent.addEventListener("keydown", (event) => {
    const all = items();
    const at = all.indexOf((event.target as Element).closest<HTMLElement>(selector) as HTMLElement);
    if (at < 0) return;
    const next = all[step(all, at, event.key)];
    if (!next || next === all[at]) return;
    event.preventDefault();
    event.stopPropagation();
    next.focus();
  });
  new MutationObserver(refresh).observe(parent, { childList: true, subtree: true });
  refresh();
}

/** The item that a key leads to, by where the items are on the screen for up and down. */
function step(all: HTMLElement[], at: number, key: string): number {
  if (key === "ArrowRight") return at + 1;
  if (key === "ArrowLeft") return at - 1;
  if (key === "Home") return 0;
  if (key === "End") return all.length - 1;
  if (key !== "ArrowDown" && key !== "ArrowUp") return at;
  const from = all[at].getBoundingClientRect();
  const sign = key === "ArrowDown" ? 1 : -1;
  let best = at;
  let least = Infinity;
  all.forEach((item, k) => {
    const box = item.getBoundingClientRect();
    const down = (box.top - from.top) * sign;
    const cost = down + 0.01 * Math.abs(box.left - from.left);
    if (down > 2 && cost < least) [best, least] = [k, cost];
  });
  return best;
}
