/**
 * The page of an atlas in a frame. Python sends what the page is made of, and its parts as it asks for them.
 *
 * The frame is made of text (srcdoc). A blob's address would be refused by the content policy of VS Code, and a file would
 * have to be served by the kernel's machine, which in Colab and behind a hub the browser does not reach. Such a frame has
 * the origin of the notebook, so that the widget hands it functions and no messages have to be told from other people's.
 */

import type { Choice } from "../host";
import { h } from "../dom";
import { onGround } from "./ground";
import type { End, Model, View } from "./model";

interface Inside extends Window {
  neuronatlasSource?: (key: string) => Promise<unknown>;
  neuronatlasTell?: (choice: Choice & { selection: string[] }) => void;
  neuronatlasGo?: (choice: Partial<Choice>) => void;
}

type Answer = { id?: string; error?: string };

export function explorer({ model, el }: View): End {
  const ask = asking(model);
  const words = h("p", { class: "waiting", role: "status" }, "Waiting for the page, which comes when the kernel is free…");
  el.append(words);
  let frame: HTMLIFrameElement | null = null;
  const ground = new Ground();
  const inside = (): Inside | null => frame?.contentWindow as Inside | null;
  const height = (): void => {
    if (frame) frame.style.height = `${Number(model.get("height"))}px`;
  };
  const go = (names: ("unit" | "stimulus")[]): void => {
    inside()?.neuronatlasGo?.(Object.fromEntries(names.map((name) => [name, model.get(name) as string | null])));
  };
  const goUnit = (): void => go(["unit"]);
  const goStimulus = (): void => go(["stimulus"]);
  const open = async (): Promise<void> => {
    const [html, css, script] = (await ask.files("page")).map((bytes) => new TextDecoder().decode(bytes));
    const nonce = crypto.getRandomValues(new Uint32Array(4)).join("");
    frame = h("iframe", { title: "Neuron Atlas", srcdoc: framed(html, css, nonce), allow: "fullscreen" });
    height();
    // Notebooks take cells out of the document and put them back, which loads a frame anew.
    frame.addEventListener("load", () => start(script, nonce));
    words.remove();
    el.append(frame);
  };
  const start = (script: string, nonce: string): void => {
    const page = inside();
    if (!page || !frame?.contentDocument?.getElementById("surface")) return;
    let before: string | null = null;
    const system = page.matchMedia.bind(page);
    page.matchMedia = (query) => query.includes("prefers-color-scheme: dark") ? ground as unknown as MediaQueryList : system(query);
    page.neuronatlasSource = ask.value;
    page.neuronatlasTell = (choice) => {
      const now = JSON.stringify(choice);
      if (before === null) queueMicrotask(() => go(["stimulus", "unit"])); // a new page shows what the one before did
      else if (now !== before) keep(model, choice);
      before = now;
    };
    const element = frame.contentDocument.createElement("script");
    element.nonce = nonce;
    element.textContent = script;
    frame.contentDocument.head.append(element);
  };
  const endGround = onGround(el, (is) => {
    ground.matches = is;
    ground.dispatchEvent(new Event("change"));
  });
  model.on("change:height", height);
  model.on("change:unit", goUnit);
  model.on("change:stimulus", goStimulus);
  open().catch((error: Error) => (words.textContent = `The page could not be opened: ${error.message}`));
  return () => {
    endGround();
    ask.end();
    model.off("change:height", height);
    model.off("change:unit", goUnit);
    model.off("change:stimulus", goStimulus);
  };
}

/** Light or dark as the page asks the system for it: the notebook's theme, which need not be the system's. */
class Ground extends EventTarget {
  matches = false;
}

/** Let Python know what the reader chose; what it knows already starts nothing. */
function keep(model: Model, choice: Choice & { selection: string[] }): void {
  model.set("unit", choice.unit);
  model.set("stimulus", choice.stimulus);
  model.set("selection", choice.selection);
  model.save_changes();
}

/** The page with its style inside, its scripts left out, and a policy under which it fetches nothing. */
function framed(html: string, css: string, nonce: string): string {
  const page = new DOMParser().parseFromString(html, "text/html");
  for (const old of page.querySelectorAll("script, link, meta[http-equiv]")) old.remove();
  const policy = page.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; img-src data: blob:; base-uri 'none'; form-action 'none'`;
  const style = page.createElement("style");
  style.setAttribute("nonce", nonce); // the property alone is not written out
  style.textContent = css;
  page.head.prepend(policy);
  page.head.append(style);
  return `<!doctype html>${page.documentElement.outerHTML}`;
}

/** Questions to Python, each with a number by which its answer is known. */
function asking(model: Model): { files: (want: string) => Promise<DataView[]>; value: (key: string) => Promise<unknown>; end: End } {
  const view = String(crypto.getRandomValues(new Uint32Array(2)).join("")); // two views of one model hear the same
  const waiting = new Map<string, { resolve: (files: DataView[]) => void; reject: (error: Error) => void }>();
  let count = 0;
  const listener = (answer: Answer, buffers: DataView[]): void => {
    const asked = waiting.get(answer.id ?? "");
    if (!asked) return;
    waiting.delete(answer.id ?? "");
    if (answer.error !== undefined) asked.reject(new Error(answer.error));
    else asked.resolve(buffers);
  };
  model.on("msg:custom", listener);
  const files = (want: string): Promise<DataView[]> => new Promise((resolve, reject) => {
    const id = `${view}-${count++}`;
    waiting.set(id, { resolve, reject });
    model.send({ want, id });
  });
  const value = async (key: string): Promise<unknown> => JSON.parse(new TextDecoder().decode((await files(key))[0]));
  return { files, value, end: () => model.off("msg:custom", listener) };
}
