/** A page with its network behind it: drop, paste, draw or film a stimulus, and render units anew. Elsewhere nothing of it is seen. */

import type { App } from "../app";
import { byId, h, icon } from "../dom";
import type { MapView } from "../map/map";
import { forget } from "../map/shown";
import { Api } from "./api";
import { drawing, filming } from "./making";
import { workshop } from "./workshop";

/** What the unit's card shows more where a network is at hand; null elsewhere. */
export type More = ((unit: number) => HTMLElement) | null;

export function live(app: App, map: MapView): More {
  const token = document.querySelector<HTMLMetaElement>('meta[name="neuronatlas-live"]')?.content;
  if (!token) return null;
  const api = new Api(token);
  const words = h("p", { class: "note", role: "status", "aria-live": "polite" }, "Drop a picture anywhere, or paste one.");
  /** The stimulus that a drawing or a camera changes again and again. */
  let moving: number | null = null;
  let asking = false;
  let next: { picture: Blob; name: string; again: boolean } | null = null;

  /** Show a picture to the network. Of those that come faster than it answers, the newest is taken. */
  const show = async (picture: Blob, name: string, again = false): Promise<void> => {
    if (asking) {
      next = { picture, name, again };
      return;
    }
    asking = true;
    if (!again) words.textContent = "The network looks at it…";
    try {
      const start = performance.now();
      const answer = await api.respond(picture);
      const passing = { codes: answer.codes, picture: URL.createObjectURL(picture), strongest: answer.strongest };
      if (again && moving !== null) {
        URL.revokeObjectURL(app.atlas.passing.set(moving, passing));
        forget();
        map.reload();
      } else {
        const number = app.atlas.add(name, passing);
        if (again) moving = number;
        tried.prepend(thumbnail(app, number, name, passing.picture));
        app.show({ stimulus: number });
      }
      words.textContent = `The network answered in ${((performance.now() - start) / 1000).toFixed(2)} s.`;
    } catch (error) {
      words.textContent = (error as Error).message;
    } finally {
      asking = false;
      const waiting = next;
      next = null;
      if (waiting) void show(waiting.picture, waiting.name, waiting.again);
    }
  };
  const begin = (): void => {
    moving = null;
  };

  const tried = h("div", { class: "thumbs" });
  const file = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp,image/gif,image/bmp", hidden: true, "aria-label": "A picture",
    change: () => {
      for (const each of file.files ?? []) void show(each, each.name);
      file.value = "";
    } });
  const button = (name: Parameters<typeof icon>[0], title: string, click: () => void): HTMLElement =>
    h("button", { type: "button", class: "button with-icon", click }, icon(name), title);
  const box = h("section", { class: "group", id: "live" },
    h("div", { class: "head" }, h("h2", {}, "Show it something new")),
    h("div", { class: "ways" }, button("image", "File", () => file.click()), button("pencil", "Draw", () => {
      begin();
      drawing((picture) => void show(picture, "drawing", true));
    }), button("camera", "Film", () => {
      begin();
      filming((picture) => void show(picture, "camera", true), words);
    })), file, words, tried);
  byId("side").prepend(box);

  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const files = [...(event.dataTransfer?.files ?? [])];
    if (!files.length) words.textContent = "That is no file: drag a picture from a folder, or copy it and paste it here.";
    for (const each of files) void show(each, each.name);
  });
  addEventListener("paste", (event) => {
    const found = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
    if (!found) return;
    event.preventDefault();
    void show(found, found.name || "pasted picture");
  });
  return workshop(app, api);
}

/** The way back to a stimulus that was tried. */
function thumbnail(app: App, stimulus: number, name: string, address: string): HTMLElement {
  const image = h("img", { src: address, alt: "", draggable: "false" });
  app.atlas.passing.onChange(stimulus, (other) => (image.src = other));
  return h("button", { type: "button", class: "thumb", title: name, "aria-label": name, click: () => app.show({ stimulus }) }, image);
}
