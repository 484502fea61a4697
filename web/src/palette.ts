/** Colours that colour-blind readers can tell apart, for both themes. */

export type Rgb = readonly [number, number, number];

/** After Okabe and Ito (2008), each hue moved until it stands out at 3:1 from the background of its theme. */
const LIGHT = ["#0072b2", "#d98200", "#00916a", "#c2559a", "#2f93cc", "#d55e00", "#7b6bb5", "#6b7280"].map(rgb);
const DARK = ["#4aa3e6", "#e69f00", "#1db98a", "#dd8abf", "#8fd3f7", "#f07a3a", "#a99be0", "#b9bec7"].map(rgb);

/** After Crameri's batlow: from dark to light, so that many layers still read in the order of their depth. */
const DEPTH = [
  "#0d2f5e", "#174b60", "#2d6359", "#51744a", "#7e8036", "#b18c34", "#e5985a", "#fba68d", "#fcbac4", "#facbf6",
].map(rgb);

/** Viridis (van der Walt and Smith, CC0), 17 of its colours. */
const VIRIDIS = [
  "#440154", "#48186a", "#472d7b", "#424086", "#3b528b", "#33638d", "#2c728e", "#26828e", "#21918c", "#1fa088",
  "#28ae80", "#3fbc73", "#5ec962", "#84d44b", "#addc30", "#d8e219", "#fde725",
].map(rgb);

/** Brewer's RdBu, blue below and red above, 11 of its colours. */
const RED_BLUE = [
  "#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f",
].map(rgb);

/** One colour a layer: categories for few, a ramp in the order of depth for many. */
export function layerColours(layers: number, dark: boolean): Rgb[] {
  const few = dark ? DARK : LIGHT;
  if (layers <= few.length) return few.slice(0, layers);
  const [from, to] = dark ? [0.25, 1] : [0, 0.85];
  return Array.from({ length: layers }, (_, k) => ramp(DEPTH, from + ((to - from) * k) / (layers - 1)));
}

/** The colour of a response between 0 and 1. */
export function responseColour(share: number): Rgb {
  return ramp(VIRIDIS, share);
}

/** The colour of a difference between -1 and 1. */
export function differenceColour(share: number): Rgb {
  return ramp(RED_BLUE, (share + 1) / 2);
}

/** The colours of patches: neighbours in number have hues far apart. */
export function patchColour(patch: number, dark: boolean): Rgb {
  const few = dark ? DARK : LIGHT;
  return few[patch % few.length];
}

/** All stops, for a legend. */
export function gradient(diverging: boolean): string {
  return `linear-gradient(90deg, ${(diverging ? RED_BLUE : VIRIDIS).map((colour) => css(colour)).join(", ")})`;
}

export function css([r, g, b]: Rgb, alpha = 1): string {
  return alpha === 1 ? `rgb(${r} ${g} ${b})` : `rgb(${r} ${g} ${b} / ${alpha})`;
}

function ramp(stops: Rgb[], share: number): Rgb {
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(at), stops.length - 2);
  const [a, b, t] = [stops[low], stops[low + 1], at - low];
  return [0, 1, 2].map((k) => Math.round(a[k] + (b[k] - a[k]) * t)) as unknown as Rgb;
}

function rgb(hex: string): Rgb {
  return [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)) as unknown as Rgb;
}
