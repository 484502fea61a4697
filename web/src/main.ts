/** The page starts here. */

import "./styles/app.css";
import { App } from "./app";
import { readOverview } from "./data";
import { byId, h, icon } from "./dom";
import { embed } from "./embed";
import { host } from "./host";
import { keys } from "./keys";
import { live } from "./live/live";
import { MapView } from "./map/map";
import { paper } from "./paper/paper";
import { paintSwatches } from "./panels/common";
import { openFacts, openHelp } from "./panels/dialogs";
import { film } from "./panels/film";
import { hoverCard } from "./panels/hover";
import { layerView } from "./panels/layer";
import { overlay } from "./panels/overlay";
import { search } from "./panels/search";
import { selectionPanel } from "./panels/selection";
import { side } from "./panels/side";
import { stimulusView } from "./panels/stimulus";
import { tableView } from "./panels/table";
import { twin } from "./panels/twin";
import { unitCard } from "./panels/unit";
import { expose } from "./state";
import { isDark, onTheme, startTheme, toggleTheme } from "./theme";

async function start(): Promise<void> {
  startTheme();
  const app = new App(await readOverview());
  document.title = `${app.atlas.title} · Neuron Atlas`;
  byId("brand").append(h("span", { class: "mark", "aria-hidden": "true" }, h("i"), h("i"), h("i")),
    h("h1", { class: "title" }, app.atlas.title));
  side(app);
  const map = new MapView(app, byId("stage"), byId("surface"));
  const table = tableView(app, () => map.renderer === null);
  map.onRenderer = (name) => {
    notice(name);
    table.refresh();
  };
  map.onRenderer(map.renderer?.name ?? "none");
  overlay(app, map);
  hoverCard(app, map);
  layerView(app);
  stimulusView(app);
  selectionPanel(app);
  const strip = film(app);
  unitCard(app, live(app, map), (unit) => {
    app.background = { at: "map" };
    app.go({ list: false });
    places(app);
    map.flyTo(unit);
  });
  const { focus } = search(app);
  const closeSide = tools(app, paper(app, map));
  keys(app, map, strip, focus, closeSide);
  onTheme(() => paintSwatches(app));
  problems(app);
  app.watch(() => places(app));
  describe(app);
  expose(app, map);
  embed(app, map);
  host(app);
  twin(app);
}

/** Which of map, table and layer is under the card. */
function places(app: App): void {
  const { at } = app.background;
  byId("stage").hidden = at !== "map" || app.route.list;
  byId("layer").hidden = at !== "layer";
  byId("stimulus").hidden = at !== "stimulus";
  document.body.classList.toggle("on-layer", at !== "map");
}

function tools(app: App, openPaper: () => void): () => boolean {
  const open = (wanted: boolean): void => {
    document.body.classList.toggle("with-side", wanted);
    panel.setAttribute("aria-expanded", String(wanted));
  };
  const button = (name: Parameters<typeof icon>[0], words: string, click: () => void): HTMLButtonElement =>
    h("button", { type: "button", class: "round", title: words, "aria-label": words, click }, icon(name));
  const panel = button("panel", "Layers and stimuli", () => open(!document.body.classList.contains("with-side")));
  panel.classList.add("panel-button");
  panel.setAttribute("aria-controls", "side");
  panel.setAttribute("aria-expanded", "false");
  const theme = button(isDark() ? "sun" : "moon", "Light or dark", toggleTheme);
  onTheme(() => theme.replaceChildren(icon(isDark() ? "sun" : "moon")));
  const list = button("list", "Table in place of the map", () => {
    const map = app.background.at === "map";
    app.go({ place: { at: "map" }, list: map ? !app.route.list : true });
  });
  app.watch((route) => {
    const shown = route.list && app.background.at === "map";
    const words = shown ? "Map in place of the table" : "Table in place of the map";
    list.replaceChildren(icon(shown ? "map" : "list"));
    list.title = words;
    list.setAttribute("aria-label", words);
  });
  app.watch((route, before) => {
    if (route.place !== before.place || route.stimulus !== before.stimulus) open(false);
  });
  byId("tools").append(panel, list, button("download", "Save the map as a figure", openPaper), theme, button("info", "About this atlas", () => openFacts(app)),
    button("help", "Help (?)", openHelp));
  return () => {
    const was = document.body.classList.contains("with-side");
    open(false);
    return was;
  };
}

/** A link that names something unknown is followed as far as it goes, and said. */
function problems(app: App): void {
  const box = byId("problem");
  app.watch((route) => {
    box.replaceChildren();
    if (route.problem === null) return;
    box.append(h("p", {}, route.problem, " Search finds what is here."),
      h("button", { type: "button", class: "round", "aria-label": "Dismiss", click: () => box.replaceChildren() }, icon("close")));
  });
}

function notice(renderer: "webgl" | "canvas" | "none"): void {
  document.querySelector("#stage .notice")?.remove();
  if (renderer === "webgl") return;
  byId("stage").append(h("p", { class: "notice" },
    renderer === "canvas" ? "No graphics card here (WebGL): drawn by the processor." : "No canvas here: see the table."));
}

function describe(app: App): void {
  const surface = byId("surface");
  surface.setAttribute("role", "application");
  surface.setAttribute("aria-label", `Map of ${app.atlas.count} units. Arrow keys open one unit after another; `
    + "plus, minus and 0 zoom. The table button in the header gives the same as a table.");
}

start().catch((error: Error) => {
  document.body.replaceChildren(h("p", { class: "fatal" }, `This page could not start: ${error.message}`));
  console.error(error);
});
