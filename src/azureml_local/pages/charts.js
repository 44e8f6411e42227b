// Metrics: a small curve for each that has several points, a number for each that has one.

import { drawing, element, fill, say, set } from "./elements.js";
import { count, number } from "./words.js";
import { ask } from "./workspace.js";

const MOST_POINTS = 1000; // of a curve, before the workspace is asked for a thinner one
const [WIDTH, HEIGHT, EDGE] = [100, 100, 4]; // of the drawing, in its own units

export class Charts {
  constructor(job) {
    this.job = job;
    this.curves = new Map();
    this.cards = new Map();
    this.last = 0;
    this.grid = element("div", { class: "charts" });
    this.table = element("dl", { class: "finals" });
    this.place = element(
      "section",
      { class: "metrics", hidden: true, "aria-label": "Metrics" },
      element("h3", {}, "Metrics"),
      this.table,
      this.grid,
    );
  }

  /** Ask for the points since the last time. */
  async refresh() {
    if ([...this.curves.values()].some((curve) => curve.length > MOST_POINTS)) this.last = 0;
    const answer = await ask(["nodes", this.job, "metrics"], { since: this.last });
    if (this.last === 0) this.curves.clear();
    if (!Object.keys(answer.curves).length) return;
    this.last = answer.last;
    for (const [key, points] of Object.entries(answer.curves)) this.add(key, points);
    this.draw();
  }

  add(key, points) {
    const curve = this.curves.get(key) ?? [];
    const isLate = curve.length && points[0][0] < curve.at(-1)[0]; // a run that was resumed
    curve.push(...points);
    if (isLate) curve.sort((one, two) => one[0] - two[0]);
    this.curves.set(key, curve);
  }

  draw() {
    const keys = [...this.curves.keys()].sort(
      (one, two) => one.startsWith("system/") - two.startsWith("system/") || one.localeCompare(two),
    );
    const isCurve = (key) => this.curves.get(key).length > 1;
    this.place.hidden = !keys.length;
    for (const key of keys)
      if (!this.cards.has(key)) this.cards.set(key, isCurve(key) ? new Chart(key) : new Final(key));
    for (const key of keys.filter(isCurve))
      if (this.cards.get(key) instanceof Final) this.cards.set(key, new Chart(key));
    for (const key of keys) this.cards.get(key).take(this.curves.get(key));
    fill(
      this.grid,
      keys.filter(isCurve).map((key) => this.cards.get(key).place),
    );
    fill(
      this.table,
      keys.filter((key) => !isCurve(key)).map((key) => this.cards.get(key).place),
    );
    this.table.hidden = !this.table.children.length;
  }
}

/** A metric of one value. */
class Final {
  constructor(key) {
    this.value = element("dd");
    this.place = element("div", {}, element("dt", { title: key }, key), this.value);
  }

  take(curve) {
    say(this.value, number(curve[0][1]));
  }
}

/** A metric over its steps; pointer and arrow keys tell the value at a step. */
class Chart {
  constructor(key) {
    this.key = key;
    this.value = element("span", { class: "value" });
    this.line = drawing("path", { class: "curve" });
    this.dot = element("span", { class: "dot", hidden: true });
    const image = drawing(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.line,
    );
    [this.top, this.bottom] = [element("span", { class: "top" }), element("span", { class: "bottom" })];
    this.ground = element("div", { class: "ground" }, image, this.dot);
    this.plot = element("div", { class: "plot", tabindex: 0, role: "img" }, this.ground, this.top, this.bottom);
    [this.first, this.final] = [element("span"), element("span")];
    const head = element("figcaption", {}, element("span", { class: "key", title: key }, key), this.value);
    this.place = element(
      "figure",
      { class: "chart" },
      head,
      this.plot,
      element("div", { class: "steps" }, this.first, this.final),
    );
    this.plot.addEventListener("pointermove", (event) => this.point(event));
    this.plot.addEventListener("pointerleave", () => this.mark(null));
    this.plot.addEventListener("blur", () => this.mark(null));
    this.plot.addEventListener("keydown", (event) => this.step(event));
  }

  take(curve) {
    const key = `${curve.length} ${curve[0]} ${curve.at(-1)}`;
    if (key === this.drawn) return;
    this.drawn = key;
    const isCounted = curve[0][0] === curve.at(-1)[0]; // logged without steps
    this.points = curve.map(([step, value], place) => [isCounted ? place : step, value]);
    this.unit = isCounted ? "entry" : "step";
    this.scale();
    set(this.line, "d", this.path());
    say(this.first, `${this.unit} ${this.points[0][0]}`);
    say(this.final, String(this.points.at(-1)[0]));
    this.mark(this.marked ?? null);
  }

  scale() {
    const values = this.points.map(([, value]) => value).filter((value) => value != null);
    [this.low, this.high] = [Math.min(...values), Math.max(...values)];
    const [first, last] = [this.points[0][0], this.points.at(-1)[0]];
    const span = this.high - this.low || 1;
    this.x = (step) => ((step - first) / (last - first || 1)) * WIDTH;
    this.y = (value) =>
      this.high === this.low ? HEIGHT / 2 : EDGE + (1 - (value - this.low) / span) * (HEIGHT - 2 * EDGE);
    say(this.top, values.length ? number(this.high) : "");
    say(this.bottom, values.length && this.high !== this.low ? number(this.low) : "");
    const range = values.length ? `from ${number(this.low)} to ${number(this.high)}` : "without numbers";
    const [points, value] = [count(this.points.length, "point"), number(this.points.at(-1)[1])];
    set(this.plot, "aria-label", `${this.key}: ${points}, ${range}, last ${value}. Arrow keys move along the curve.`);
  }

  path() {
    let [d, isBroken] = ["", true];
    for (const [step, value] of this.points) {
      if (value != null) d += `${isBroken ? "M" : "L"}${this.x(step).toFixed(2)} ${this.y(value).toFixed(2)}`;
      isBroken = value == null;
    }
    return d;
  }

  point(event) {
    const box = this.ground.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    const off = ([step]) => Math.abs(this.x(step) - x);
    this.mark(this.points.reduce((best, point, place) => (off(point) < off(this.points[best]) ? place : best), 0));
  }

  step(event) {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way) return;
    event.preventDefault();
    this.mark(Math.min(this.points.length - 1, Math.max(0, (this.marked ?? this.points.length) + way)));
  }

  /** Tell the value at a place of the curve, or with null the last one. */
  mark(place) {
    this.marked = place;
    const [step, value] = this.points[place ?? this.points.length - 1];
    this.dot.hidden = place == null || value == null;
    if (!this.dot.hidden) Object.assign(this.dot.style, { left: `${this.x(step)}%`, top: `${this.y(value)}%` });
    say(this.value, place == null ? number(value) : `${number(value)} at ${this.unit} ${step}`);
  }
}
