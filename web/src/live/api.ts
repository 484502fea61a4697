/** The server behind a live page: it shows the network a picture, and renders units. */

import { unpack } from "../scripts";

/** What the network says to a picture. */
export interface Answer {
  codes: Uint8Array;
  values: Float32Array;
  /** Of each layer the units that stand out, and by how many standard deviations. */
  strongest: { unit: number; score: number }[];
  seconds: number;
}

export interface Wish {
  unit: string;
  preset: string;
  steps: number | null;
  seed: number;
  sign: 1 | -1;
  size: number | null;
}

/** A rendering as it grows, and its end. */
export interface Growth {
  step?: number;
  of?: number;
  score?: number;
  image?: string;
  done?: boolean;
  cancelled?: boolean;
  error?: string;
  status?: string;
  reason?: string;
}

export interface About {
  network: string;
  presets: string[];
  max_bytes: number;
  max_pixels: number;
}

export class Api {
  constructor(private readonly token: string) {}

  async about(): Promise<About> {
    return (await (await this.ask("about")).json()) as About;
  }

  async respond(picture: Blob): Promise<Answer> {
    const raw = (await (await this.ask("respond", { method: "POST", body: picture })).json()) as {
      codes: string; values: string; strongest: [number, number][]; seconds: number;
    };
    return { codes: unpack({ u8: raw.codes }) as Uint8Array, values: unpack({ f32: raw.values }) as Float32Array,
      strongest: raw.strongest.map(([unit, score]) => ({ unit, score })), seconds: raw.seconds };
  }

  /** Begin a rendering; `each` is told how it grows until its end. Returns what cancels it. */
  async render(wish: Wish, each: (growth: Growth) => void): Promise<() => void> {
    const { job } = (await (await this.ask("render", { method: "POST", body: JSON.stringify(wish) })).json()) as { job: string };
    void this.watch(job, each).catch((error: Error) => each({ error: error.message }));
    return () => void this.ask(`render/${encodeURIComponent(job)}`, { method: "DELETE" }).catch(() => undefined);
  }

  private async watch(job: string, each: (growth: Growth) => void): Promise<void> {
    const reader = (await this.ask(`render/${encodeURIComponent(job)}`)).body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = (await reader?.read()) ?? { value: undefined, done: true };
      text += value ?? "";
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) if (line) each(JSON.parse(line) as Growth);
      if (done) return;
    }
  }

  private async ask(path: string, options: RequestInit = {}): Promise<Response> {
    const answer = await fetch(`api/${path}`, { ...options, headers: { "X-Neuronatlas-Token": this.token } }).catch(() => {
      throw new Error("The live server does not answer: is the command still running?");
    });
    if (answer.ok) return answer;
    const said = (await answer.json().catch(() => ({}))) as { error?: string };
    throw new Error(said.error ?? `The live server answered ${answer.status}.`);
  }
}
