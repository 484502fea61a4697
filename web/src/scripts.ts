/** Reading data scripts: each puts one value under one key of a global, from where it is taken away again. */

/** A column of numbers: base64 of little-endian values, under the name of their kind. */
export type Packed = { [kind in "u8" | "u16" | "u32" | "i32" | "f32"]?: string };

declare global {
  // eslint-disable-next-line no-var
  var neuronatlasData: Record<string, unknown> | undefined;
}

const kept = new Map<string, Promise<unknown>>();

/** Do it once; a failure is not kept, so that a later visit tries again. */
export function once<T>(key: string, make: () => Promise<T>): Promise<T> {
  let promise = kept.get(key) as Promise<T> | undefined;
  if (!promise) {
    promise = make();
    promise.catch(() => kept.delete(key));
    kept.set(key, promise);
  }
  return promise;
}

export function load(key: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = `data/${key}.js`;
    const done = (): void => {
      element.remove();
      const value = globalThis.neuronatlasData?.[key];
      if (globalThis.neuronatlasData) delete globalThis.neuronatlasData[key];
      if (value === undefined) reject(new Error(`data/${key}.js could not be read: write the page again.`));
      else resolve(value);
    };
    element.addEventListener("load", done);
    element.addEventListener("error", done);
    document.head.append(element);
  });
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
