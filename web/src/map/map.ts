/** The map of all units: what is drawn, in which colours, from where, and what the pointer is on. */

import type { App } from "../app";
import { layerColours, type Rgb } from "../palette";
import type { Route } from "../route";
import { isDark, onTheme, reducedMotion } from "../theme";
import { between, fit, pan, toMap, toScreen, zoomAt, type Camera, type Size } from "./camera";
import { colourDots, shownUnits } from "./colours";
import { Filling } from "./filling";
import type { Dots, Frame, Link, Renderer, Thumbnail } from "./frame";
import { listen } from "./gestures";
import { Grid } from "./grid";
import { Lasso } from "./lasso";
import { linksOf, ringsOf } from "./links";
import { chooseRenderer } from "./renderer";
import { sameShown, shown, type Shown } from "./shown";
import { Thumbnails } from "./thumbnails";

/** Dots drawn without a graphics card while the map moves; all of them when it rests for so many milliseconds. */
const MOVING = 40_000;
const REST = 120;

const EMPTY: Dots = { units: new Uint32Array(0), positions: new Float32Array(0), colours: new Uint8Array(0) };

export class MapView {
  camera: Camera = { x: 0, y: 0, zoom: 8 };
  size: Size = { width: 0, height: 0 };
  renderer: Renderer | null = null;
  dots: Dots | null = null;
  thumbnails: Thumbnail[] = [];
  hovered: number | null = null;
  /** The match of the unit under the pointer on another page. */
  pointed: number | null = null;
  showPictures = true;
  /** The numbers that colour the map, once they are here; null for the layers. */
  shown: Shown | null = null;
  readonly lasso: Lasso;
  /** Called when the pointer comes to rest on another unit, or on none. */
  onHover: (unit: number | null, left: number, top: number) => void = () => undefined;
  onDrawn: () => void = () => undefined;
  onMoved: () => void = () => undefined;
  onRenderer: (name: "webgl" | "canvas" | "none") => void = () => undefined;
  private grid: Grid | null = null;
  private links: Link[] = [];
  private readonly pictures: Thumbnails;
  private readonly fill: Filling;
  private waiting = false;
  private moving = false;
  private resting = 0;
  private flight = 0;

  constructor(private readonly app: App, private readonly stage: HTMLElement, surface: HTMLElement) {
    this.pictures = new Thumbnails(app, (sheet) => this.renderer?.addSheet(sheet) ?? this.redraw(), (sheet) => this.renderer?.removeSheet(sheet));
    this.fill = new Filling(app);
    this.lasso = new Lasso(stage, (polygon) => this.choose(polygon));
    listen(stage, {
      drawing: (event) => this.lasso.wanted(event),
      draw: (left, top, done) => this.lasso.draw(left, top, done),
      pan: (left, top) => this.look(pan(this.camera, left, top)),
      zoom: (step, left, top) => this.look(zoomAt(this.camera, this.size, step, left, top)),
      hover: (left, top) => this.setHovered(this.unitAt(left, top, 12), left, top),
      leave: () => this.setHovered(null, 0, 0),
      click: (left, top, touch) => {
        const unit = this.unitAt(left, top, touch ? 22 : 12);
        if (unit !== null) this.app.openUnit(unit);
        else this.app.closeUnit();
      },
    });
    new ResizeObserver(() => this.resize()).observe(stage);
    this.resize();
    chooseRenderer(surface, (renderer) => this.setRenderer(renderer));
    onTheme(() => this.recolour());
    app.onSelection(() => this.recolour());
    app.watch((route, before) => {
      const first = route === before;
      if (first || !sameShown(route, before)) this.load(route);
      if (route.circle !== before.circle || (first && route.circle)) this.reshape(route.circle);
      else if (first || route.layers !== before.layers) this.filter();
      else if (route.fill !== before.fill) this.recolour();
      if (first || route.place !== before.place) this.follow(first);
    });
  }

  /** The picture that fills the map in place of dots, if one does. */
  get filling(): HTMLCanvasElement | null {
    return this.fill.picture;
  }

  /** Pixels from the middle of a dot to its edge. */
  get radius(): number {
    const beyond = this.camera.zoom - this.home.zoom;
    const crowd = Math.sqrt((this.size.width * this.size.height) / Math.max(1, this.dots?.units.length ?? 0));
    return Math.min(Math.max(crowd * 0.16, 1.6), 5.5) * 2 ** Math.min(Math.max(beyond * 0.3, -0.3), 0.8);
  }

  /** The thumbnail of a unit; null where its sheet is not in memory. */
  cut(unit: number): HTMLCanvasElement | null {
    return this.pictures.cut(unit);
  }

  /** The camera that shows everything. */
  get home(): Camera {
    return fit(this.size);
  }

  get colours(): Rgb[] {
    return layerColours(this.app.atlas.layers.length, isDark());
  }

  zoom(step: number): void {
    this.fly(zoomAt(this.camera, this.size, step, this.size.width / 2, this.size.height / 2));
  }

  reset(): void {
    this.fly(this.home);
  }

  /** Bring a unit to the middle, close enough to see its surroundings. */
  flyTo(unit: number): void {
    const { positions } = this.app.atlas;
    if (!this.app.atlas.placed(unit)) return;
    const zoom = Math.max(this.camera.zoom, this.home.zoom + 2);
    this.fly({ x: positions[2 * unit], y: positions[2 * unit + 1], zoom });
  }

  /** Where a unit is on the screen, in pixels of the stage. */
  screen(unit: number): [number, number] {
    const { positions } = this.app.atlas;
    return toScreen(this.camera, this.size, positions[2 * unit], positions[2 * unit + 1]);
  }

  private recolour(): void {
    this.dots = colourDots(this.app, this.shown, this.colours);
    if (this.grid) this.pictures.setDots(this.dots, this.grid);
    this.fill.update(this.shown, this.grid);
    this.redraw();
  }

  /** The units inside a polygon on the screen become the selection. */
  private choose(polygon: [number, number][]): void {
    const { app } = this;
    const corners = polygon.map(([left, top]) => toMap(this.camera, this.size, left, top));
    app.select(this.grid ? this.grid.inside(corners) : []);
  }

  /** All units in view become the selection. */
  chooseView(): void {
    const { width, height } = this.size;
    this.choose([[0, 0], [width, 0], [width, height], [0, height]]);
  }

  private reshape(circle: boolean): void {
    const { atlas } = this.app;
    const use = (positions: Float32Array): void => {
      if (this.app.route.circle !== circle) return;
      atlas.positions = positions;
      this.filter();
      this.follow(false);
    };
    if (circle) atlas.circle().then(use, (error: unknown) => console.error(error));
    else use(atlas.plane);
  }

  redraw(): void {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  private setRenderer(renderer: Renderer | null): void {
    this.renderer = renderer;
    for (const sheet of this.pictures.sheets) renderer?.addSheet(sheet);
    this.onRenderer(renderer?.name ?? "none");
    this.redraw();
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height || (width === this.size.width && height === this.size.height)) return;
    const before = this.size.width ? fit(this.size).zoom : null;
    this.size = { width, height };
    this.setHovered(null, 0, 0);
    const home = fit(this.size);
    this.camera = before === null ? home : { ...this.camera, zoom: this.camera.zoom + home.zoom - before };
    if (this.unit !== null && !this.inside(this.unit)) this.flyTo(this.unit);
    this.redraw();
  }

  /** Ask for the numbers again: a stimulus has changed. */
  reload(): void {
    this.load(this.app.route);
  }

  private load(route: Route): void {
    shown(this.app, route).then(
      (found) => {
        if (!sameShown(this.app.route, route)) return;
        this.shown = found;
        this.recolour();
      },
      (error: unknown) => console.error(error),
    );
  }

  private filter(): void {
    this.grid = new Grid(this.app.atlas.positions, shownUnits(this.app));
    this.recolour();
  }

  /** Show the open unit and its neighbours. */
  private follow(first: boolean): void {
    this.links = [];
    this.setHovered(null, 0, 0);
    const { unit, app } = this;
    this.redraw();
    if (unit === null || !app.atlas.placed(unit)) return;
    if (first || !this.inside(unit)) this.flyTo(unit);
    linksOf(app.atlas, unit).then((links) => {
      if (this.unit !== unit) return;
      this.links = links;
      this.redraw();
    }, (error: unknown) => console.error(error));
  }

  /** Whether a unit is in view and not at its very edge. */
  private inside(unit: number): boolean {
    const [left, top] = this.screen(unit);
    return left > 40 && top > 40 && left < this.size.width - 40 && top < this.size.height - 40;
  }

  private get unit(): number | null {
    return this.app.unit;
  }

  look(camera: Camera): void {
    cancelAnimationFrame(this.flight);
    this.camera = camera;
    this.setHovered(null, 0, 0);
    this.moving = true;
    clearTimeout(this.resting);
    this.resting = window.setTimeout(() => {
      this.moving = false;
      this.redraw();
    }, REST);
    this.onMoved();
    this.redraw();
  }

  private fly(to: Camera): void {
    const from = this.camera;
    if (reducedMotion() || !this.size.width) return this.look(to);
    const start = performance.now();
    const step = (now: number): void => {
      const share = Math.min(Math.max((now - start) / 420, 0), 1);
      this.look(share === 1 ? to : between(from, to, 1 - (1 - share) ** 3));
      if (share < 1) this.flight = requestAnimationFrame(step);
    };
    cancelAnimationFrame(this.flight);
    this.flight = requestAnimationFrame(step);
  }

  private setHovered(unit: number | null, left: number, top: number): void {
    if (unit === null && this.hovered === null) return;
    this.stage.classList.toggle("pointing", unit !== null);
    if (unit !== this.hovered) {
      this.hovered = unit;
      this.redraw();
    }
    this.onHover(unit, left, top);
  }

  private unitAt(left: number, top: number, reach: number): number | null {
    for (const item of [...this.thumbnails].reverse()) {
      const [x, y] = toScreen(this.camera, this.size, item.x, item.y);
      if (item.alpha > 0.4 && Math.max(Math.abs(left - x), Math.abs(top - y)) <= item.size / 2) return item.unit;
    }
    const [x, y] = toMap(this.camera, this.size, left, top);
    return this.grid?.nearest(x, y, reach / 2 ** this.camera.zoom) ?? null;
  }

  private draw(): void {
    const { dots, renderer, size } = this;
    if (!dots || !size.width) return;
    const dark = isDark(), accent: Rgb = dark ? [255, 255, 255] : [17, 24, 39];
    const hovered = this.hovered ?? this.pointed;
    const marked = { open: this.unit, hovered, accent };
    this.thumbnails = this.showPictures ? this.pictures.visible(this.camera, size, this.home.zoom, marked) : [];
    const few = renderer?.name === "canvas" && this.moving ? Math.ceil(dots.units.length / MOVING) : 1;
    const frame: Frame = {
      camera: this.camera, ...size, dots: this.filling ? EMPTY : dots, picture: this.filling, stride: few,
      links: this.links, thumbnails: this.thumbnails, rings: ringsOf(this.app.atlas, [this.unit, hovered], this.thumbnails), radius: this.radius,
      outline: dark ? [235, 240, 248] : [20, 26, 34], accent, ground: dark ? [14, 17, 22] : [246, 247, 249],
    };
    renderer?.draw(frame);
    this.onDrawn();
  }
}
