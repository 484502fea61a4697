/** Word to and from what holds the page, such as a notebook's widget: what the reader chose there, and what to show here. */

import type { App } from "./app";

export interface Choice {
  /** The address of the open unit, the name of the stimulus; null for none. */
  unit: string | null;
  stimulus: string | null;
}

declare global {
  // eslint-disable-next-line no-var
  var neuronatlasTell: ((choice: Choice & { selection: string[] }) => void) | undefined;
  // eslint-disable-next-line no-var
  var neuronatlasGo: ((choice: Partial<Choice>) => void) | undefined;
}

export function host(app: App): void {
  const { atlas } = app;
  if (!globalThis.neuronatlasTell) return;
  const tell = (): void => globalThis.neuronatlasTell?.({
    unit: app.unit === null ? null : atlas.address(app.unit),
    stimulus: app.route.stimulus === null ? null : atlas.stimuli[app.route.stimulus].name,
    selection: app.selection.map((unit) => atlas.address(unit)),
  });
  globalThis.neuronatlasGo = ({ unit, stimulus }) => {
    if (stimulus !== undefined) app.go({ stimulus: stimulus === null ? null : atlas.stimulusNumber(stimulus), label: null });
    const found = unit ? atlas.find(unit) : null;
    if (found !== null) app.openUnit(found);
    else if (unit === null) app.closeUnit();
  };
  app.watch(tell);
  app.onSelection(tell);
}
