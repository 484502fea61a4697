/** What anywidget gives a widget, as far as it is used here. */

export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown): void;
  on(event: string, listener: (...words: never[]) => void): void;
  off(event: string, listener: (...words: never[]) => void): void;
}

export interface View {
  model: Model;
  el: HTMLElement;
}

/** What ends a view. */
export type End = () => void;
