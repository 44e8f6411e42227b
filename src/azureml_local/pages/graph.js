// The graph of a job: boxes that are buttons, lines of data between them, groups that open in their place.

import { button, drawing, element, rove, say, set, stop } from "./elements.js";
import { layOut } from "./layout.js";
import { STATES, change, icon, stateOf } from "./states.js";
import { count } from "./words.js";

const HEIGHT = 42; // of a box; pixels, as all lengths here
const MIN_WIDTH = 132;
const MAX_WIDTH = 230;
const AROUND = 54; // icon, paddings and border beside a box's text
const HEAD = 40; // of an open group
const BESIDE = 130; // what a head has beside its name
const PADDING = 14; // in an open group
const SMALLEST = 0.8; // of the letters' size, when the graph is fitted into its place and does not go in whole
const WHOLE = 0.7; // where it goes in whole by that

export class Graph {
  /** place: the section; choose(job) selects a node, toggle(job) opens or closes a group. */
  constructor(place, choose, toggle) {
    this.place = place;
    this.act = { choose, toggle };
    this.ruler = document.createElement("canvas").getContext("2d");
    this.sheet = element("div", { class: "sheet" });
    this.room = element("div", { class: "room" }, this.sheet);
    const label = "Nodes by the flow of data. Arrow keys move between them.";
    this.view = element("div", { class: "view", role: "group", "aria-label": label }, this.room);
    this.zoom = null; // null: fitted
    this.shown = null; // the node that was brought into view last
    place.append(this.view);
    place.querySelector(".bar").append(this.buttons());
    rove(this.view, ".box");
    const leave = () => (this.isAway = true);
    for (const kind of ["wheel", "touchmove", "pointerdown", "keydown"])
      this.view.addEventListener(kind, leave, { passive: true });
    new ResizeObserver(() => this.fit()).observe(this.view);
  }

  /** Show the tree as it is now. */
  draw(tree, open, selected) {
    this.place.hidden = !tree.isGroup(tree.name);
    if (this.place.hidden) return;
    const nodes = [...tree.nodes.values()].map((node) => [node.job, node.node, node.parent, node.needs]);
    const shape = JSON.stringify([[...open], nodes]);
    if (shape !== this.shape) this.build(tree, open);
    this.shape = shape;
    for (const [job, box] of this.boxes) this.dress(box, tree, tree.nodes.get(job), job === selected);
    this.light(selected);
    this.tick(tree);
    this.bring(this.boxes.has(selected) ? selected : current(tree, this.boxes), selected);
  }

  /** Let the times of what runs go on. */
  tick(tree) {
    for (const [job, box] of this.boxes ?? []) {
      const node = tree.nodes.get(job);
      say(box.querySelector(".note"), note(tree, node));
    }
    this.keep();
  }

  build(tree, open) {
    this.boxes = new Map();
    this.lines = [];
    this.edges = drawing("svg", { class: "edges", "aria-hidden": "true" });
    const focused = document.activeElement?.closest?.(".box")?.dataset.job;
    const whole = this.measure(tree, tree.name, open);
    this.sheet.replaceChildren(this.edges);
    this.spread(tree, whole, 0, 0);
    this.extent = [whole.layout.width, whole.layout.height];
    set(this.edges, "width", whole.layout.width);
    set(this.edges, "height", whole.layout.height);
    stop(this.view, ".box", [...this.boxes.values()][0]);
    this.boxes.get(focused)?.focus({ preventScroll: true });
    this.scale();
  }

  /** A group's inside: its boxes, measured and laid out. */
  measure(tree, group, open) {
    const inner = new Map();
    const boxes = tree.children(group).map((node) => {
      if (!open.has(node.job) || !tree.isGroup(node.job))
        return { id: node.job, width: this.width(node), height: HEIGHT };
      const inside = this.measure(tree, node.job, open);
      inner.set(node.job, inside);
      const width = Math.max(inside.layout.width, this.width(node) + BESIDE) + 2 * PADDING;
      return { id: node.job, width, height: inside.layout.height + HEAD + PADDING };
    });
    return { layout: layOut(boxes, tree.edges(group)), inner };
  }

  width(node) {
    this.ruler.font = `600 13px ${getComputedStyle(document.body).fontFamily}`;
    return Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, Math.ceil(this.ruler.measureText(node.node).width) + AROUND));
  }

  /** Put a group's boxes and lines on the sheet. */
  spread(tree, { layout, inner }, left, top) {
    for (const line of layout.lines) {
      const path = drawing("path", { d: line.d, transform: `translate(${left} ${top})` });
      this.edges.append(path);
      this.lines.push({ ...line, path });
    }
    for (const [job, at] of layout.places) {
      if (!tree.nodes.has(job)) continue; // a passage of a line
      const inside = inner.get(job);
      const box = this.box(tree, tree.nodes.get(job), Boolean(inside));
      const [x, y] = [left + at.x, top + at.y];
      lay(inside ? this.frame(job) : box, x, y, at.width, at.height);
      if (inside) {
        lay(box, x + 4, y + 4, at.width - 44, HEAD - 10);
        this.spread(tree, inside, x + PADDING, y + HEAD);
      }
      if (box.handle) lay(box.handle, x + at.width - 32, y + (inside ? 6 : 9), 24, 24);
    }
  }

  box(tree, node, isOpen) {
    const choose = () => this.act.choose(node.job);
    const name = element("span", { class: "name" }, node.node);
    const words = element("span", { class: "words" }, name, element("span", { class: "note" }));
    const about = { type: "button", class: "box", "data-job": node.job, title: node.node, onclick: choose };
    const box = element("button", about, icon(stateOf(node)), words);
    box.classList.toggle("head", isOpen);
    this.boxes.set(node.job, box);
    this.sheet.append(box);
    if (tree.isGroup(node.job)) this.sheet.append((box.handle = this.handle(node, isOpen)));
    return box;
  }

  frame(job) {
    const frame = element("div", { class: "frame", "data-frame": job });
    this.sheet.insertBefore(frame, this.edges);
    return frame;
  }

  /** The small button that opens or closes a group; it stands on the right of the group's box. */
  handle(node, isOpen) {
    const label = `${isOpen ? "Close" : "Open"} ${node.node}`;
    const onclick = () => this.act.toggle(node.job);
    const about = { type: "button", class: "handle", "aria-label": label, "aria-expanded": String(isOpen), onclick };
    return element("button", about, isOpen ? "−" : "+");
  }

  dress(box, tree, node, isSelected) {
    const state = stateOf(node);
    change(box.querySelector(".icon"), state);
    set(box, "data-state", state);
    set(box, "aria-pressed", isSelected);
    const sources = node.needs.map((need) => tree.nodes.get(need)?.node).filter(Boolean);
    const reads = sources.length ? `, reads from ${sources.join(", ")}` : "";
    set(box, "aria-label", `${node.node}, ${STATES[state].word}${reads}`);
  }

  /** Bring forward the lines of the selected node. */
  light(selected) {
    for (const line of this.lines) {
      const isLit = line.from === selected || line.to === selected;
      line.path.classList.toggle("lit", isLit);
      if (isLit) this.edges.append(line.path);
    }
  }

  /** Scroll to a node, once for each node that is selected: the reader may scroll away. */
  bring(job, selected) {
    if (this.shown === selected || !job) return;
    this.shown = selected;
    this.brought = job;
    this.isAway = false;
    this.keep();
  }

  /** Be as wide as there is room now. */
  fit() {
    this.scale();
    this.keep();
  }

  /** Keep in sight what was brought there, in whatever room there is, until the reader moves in the graph. */
  keep() {
    if (!this.isAway && this.boxes?.has(this.brought)) this.reveal(this.brought);
  }

  reveal(job) {
    const at = this.boxes.get(job).getBoundingClientRect();
    const view = this.view.getBoundingClientRect();
    if (at.left < view.left || at.right > view.right) this.view.scrollLeft += at.left - view.left - view.width / 3;
    if (at.top < view.top || at.bottom > view.bottom) this.view.scrollTop += at.top - view.top - view.height / 3;
  }

  buttons() {
    const by = (factor) => () => this.scale(Math.min(2, Math.max(0.2, (this.factor ?? 1) * factor)));
    const fit = () => this.scale(null);
    const make = (text, label, onclick) => button(text, onclick, { "aria-label": label });
    const buttons = [
      make("−", "Smaller", by(1 / 1.25)),
      make("+", "Larger", by(1.25)),
      make("Fit", "Fit into the page", fit),
    ];
    return element("div", { class: "zoom" }, ...buttons);
  }

  /** Show the graph at a size, or fitted; without an argument, as before. */
  scale(zoom = this.zoom) {
    this.zoom = zoom;
    if (!this.extent || !this.view.clientWidth) return;
    const [width, height] = this.extent;
    const room = this.view.clientWidth - 2 * PADDING;
    const fitting = Math.min(1, room / width);
    this.factor = zoom ?? (fitting >= WHOLE ? fitting : SMALLEST);
    this.sheet.style.transform = `scale(${this.factor})`;
    Object.assign(this.sheet.style, { width: `${width}px`, height: `${height}px` });
    Object.assign(this.room.style, { width: `${width * this.factor}px`, height: `${height * this.factor}px` });
  }
}

/** The second line of a box: how long it has run, and what more there is to say of its state. */
function note(tree, node) {
  const state = stateOf(node);
  const time = tree.time(node);
  const words = state === "Completed" || (state === "Running" && time) ? [] : [STATES[state].word];
  if (tree.isGroup(node.job)) words.push(progress(tree, node.job));
  return [...words, ...(state === "Reused" || !time ? [] : [time])].join(" · ");
}

/** The node to look at first: one that failed, else one that runs. */
function current(tree, boxes) {
  const jobs = [...boxes.keys()];
  const is = (state) => jobs.find((job) => stateOf(tree.nodes.get(job)) === state);
  return is("Failed") ?? is("Running") ?? jobs[0];
}

function progress(tree, group) {
  const leaves = tree.leaves(group);
  const done = leaves.filter((leaf) => ["Completed", "Reused"].includes(stateOf(leaf)));
  return `${done.length} of ${count(leaves.length, "node")}`;
}

function lay(box, x, y, width, height) {
  Object.assign(box.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
}
