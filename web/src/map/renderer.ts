/** Which renderer draws the map: the graphics card where there is one, else the processor, else none. */

import { canvasRenderer } from "./canvas";
import { deckRenderer, hasWebGL } from "./deck";
import type { Renderer } from "./frame";

/** `set` is given the renderer, and another when the graphics card is lost. */
export function chooseRenderer(surface: HTMLElement, set: (renderer: Renderer | null) => void): void {
  let current: Renderer | null = null;
  const use = (renderer: Renderer | null): void => {
    current = renderer;
    set(renderer);
  };
  const plain = (): void => {
    current?.destroy();
    surface.replaceChildren();
    use(canvasRenderer(surface));
  };
  if (!hasWebGL()) return plain();
  try {
    use(deckRenderer(surface, plain));
  } catch {
    plain();
  }
}
