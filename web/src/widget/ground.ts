/** Light or dark: whatever the widget stands on, for each notebook says its theme in a way of its own. */

import type { End } from "./model";

/** Call back with whether it is dark, now and after each change. */
export function onGround(el: HTMLElement, listener: (dark: boolean) => void): End {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let last: boolean | null = null;
  const look = (): void => {
    const dark = isDark(el) ?? system.matches;
    if (dark !== last) listener(dark);
    last = dark;
  };
  const observer = new MutationObserver(() => requestAnimationFrame(look));
  for (const element of [document.documentElement, document.body]) observer.observe(element, { attributes: true });
  observer.observe(document.head, { childList: true }); // the style sheet of a theme
  system.addEventListener("change", look);
  const waiting = requestAnimationFrame(look); // by then the widget is in the page
  look();
  return () => {
    cancelAnimationFrame(waiting);
    observer.disconnect();
    system.removeEventListener("change", look);
  };
}

/** Whether the nearest colour behind it is dark; null where there is none. */
function isDark(el: HTMLElement): boolean | null {
  for (let at: Element | null = el.parentElement ?? document.body; at; at = at.parentElement) {
    const [red, green, blue, alpha = 1] = (getComputedStyle(at).backgroundColor.match(/[\d.]+/g) ?? []).map(Number);
    if (blue !== undefined && alpha > 0.5) return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
  }
  return null;
}
