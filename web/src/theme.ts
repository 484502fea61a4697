/** Light and dark: the system's wish, until the reader says otherwise. */

const dark = matchMedia("(prefers-color-scheme: dark)");
const still = matchMedia("(prefers-reduced-motion: reduce)");
const KEY = "neuronatlas-theme";
const listeners: (() => void)[] = [];
let chosen: string | null = null;

export function isDark(): boolean {
  return chosen ? chosen === "dark" : dark.matches;
}

export function reducedMotion(): boolean {
  return still.matches;
}

export function onTheme(listener: () => void): void {
  listeners.push(listener);
}

export function toggleTheme(): void {
  chosen = isDark() ? "light" : "dark";
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // A page from file:// may have no storage; the choice then lasts as long as the page.
  }
  apply();
}

/** Before anything is shown. */
export function startTheme(): void {
  try {
    const kept = localStorage.getItem(KEY);
    if (kept === "light" || kept === "dark") chosen = kept;
  } catch {
    // As above.
  }
  dark.addEventListener("change", apply);
  apply();
}

function apply(): void {
  document.documentElement.dataset["theme"] = isDark() ? "dark" : "light";
  listeners.forEach((listener) => listener());
}
