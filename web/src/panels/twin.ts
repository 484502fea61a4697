/** A unit's card as JSON, at an address of its own: `#/unit/ADDRESS?json=1`. */

import type { App } from "../app";
import { byId, h } from "../dom";
import { show } from "./dialogs";
import { record, save } from "./records";

export function twin(app: App): void {
  const dialog = byId("twin") as HTMLDialogElement;
  dialog.addEventListener("close", () => app.go({ json: false }, true));
  app.watch((route, before) => {
    const { unit } = app;
    if (unit === null || !route.json) return dialog.close();
    if (route !== before && route.json === before.json && route.place === before.place) return;
    void record(app, unit).then((card) => {
      if (app.route !== route) return;
      const [address, text] = [app.atlas.address(unit), `${JSON.stringify(card, null, 1)}\n`];
      show("twin", address,
        h("button", { type: "button", class: "button", click: () => save(`${address}.json`, text, "application/json") }, "Save"),
        h("pre", { tabindex: "0", "aria-label": `${address} as JSON` }, text));
    });
  });
}
