/**
 * Reading the parts of an atlas. In a folder each is a classic script, the only kind that a page from file:// may load; it
 * puts one value under one key of a global, from where it is taken away again. A host that holds the page otherwise, such
 * as a notebook, gives a function in their place.
 */

/** A column of numbers: base64 of little-endian values, under the name of their kind. */
export type Packed = { [kind in "u8" | "u16" | "u32" | "i32" | "f32"]?: string };

declare global {
  // eslint-disable-next-line no-var
  var neuronatlasData: Record<string, unknown> | undefined;
  // eslint-disable-next-line no-var
  var neuronatlasSource: ((key: string) => Promise<unknown>) | undefined;
}

const kept = new Map<string, Promise<unknown>>();

/** Do it once; a failure is not kept, so that a later visit tries again. Of keys with one beginning, the newest `most` stay. */
export function once<T>(key: string, make: () => Promise<T>, most = Infinity): Promise<T> {
  let promise = kept.get(key) as Promise<T> | undefined;
  if (!promise) {
    promise = make();
    promise.catch(() => kept.delete(key));
  }
  kept.delete(key);
  kept.set(key, promise); // the last of them is the newest
  if (most < Infinity) {
    const kind = key.slice(0, key.lastIndexOf("-") + 1);
    const alike = [...kept.keys()].filter((other) => other.startsWith(kind));
    for (const old of alike.slice(0, Math.max(0, alike.length - most))) kept.delete(old);
  }
  return promise;
}

export function load(key: string): Promise<unknown> {
  if (globalThis.neuronatlasSource) return globalThis.neuronatlasSource(key);
  const found = take(key); // data/scene.js is in the page's head
  if (found !== undefined) return Promise.resolve(found);
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = `data/${key}.js`;
    const done = (): void => {
      element.remove();
      const value = take(key);
      if (value === undefined) reject(new Error(`data/${key}.js could not be read: write the page again.`));
      else resolve(value);
    };
    element.addEventListener("load", done);
    element.addEventListener("error", done);
    document.head.append(element);
  });
}

function take(key: string): unknown {
  const value = globalThis.neuronatlasData?.[key];
  if (globalThis.neuronatlasData) delete globalThis.neuronatlasData[key];
  return value;
}

export function unpack(packed: Packed): Uint8Array | Uint16Array | Uint32Array | Int32Array | Float32Array {
  const [kind, text] = Object.entries(packed)[0] as [keyof Packed, string];
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
  if (kind === "u8") return bytes;
  if (kind === "u16") return new Uint16Array(bytes.buffer);
  if (kind === "u32") return new Uint32Array(bytes.buffer);
  if (kind === "i32") return new Int32Array(bytes.buffer);
  return new Float32Array(bytes.buffer);
}
