// When each node ran: a row for each, in the order of their starts, groups above what is in them.

import { element, fill, rove, say, set, stop } from "./elements.js";
import { STATES, change, icon, stateOf } from "./states.js";

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400]; // seconds
const TICK = 80; // pixels between two marks of the axis, at least

export class Timeline {
  /** place: the section; choose(job) selects a node, toggle(job) opens or closes a group. */
  constructor(place, choose, toggle) {
    this.place = place;
    this.act = { choose, toggle };
    this.rows = new Map();
    this.axis = element("div", { class: "axis", "aria-hidden": "true" });
    this.list = element("ol", { class: "rows" });
    place.append(element("div", { class: "times" }, this.axis, this.list));
    rove(this.list, ".row");
  }

  /** Show the tree as it is now. */
  draw(tree, open, selected) {
    this.place.hidden = !tree.isGroup(tree.name);
    if (this.place.hidden) return;
    const order = visible(tree, tree.name, open, 0);
    for (const [node] of order) if (!this.rows.has(node.job)) this.rows.set(node.job, this.row(tree, node));
    fill(
      this.list,
      order.map(([node]) => this.rows.get(node.job)),
    );
    for (const [node, depth] of order)
      this.dress(this.rows.get(node.job), tree, node, depth, open, node.job === selected);
    const chosen = this.list.querySelector("[aria-pressed=true]") ?? this.list.querySelector(".row");
    if (chosen && !this.list.contains(document.activeElement)) stop(this.list, ".row", chosen);
    this.tick(tree);
  }

  /** Let the bars of what runs grow. */
  tick(tree) {
    const started = [...tree.nodes.values()].filter((node) => node.start);
    const from = Math.min(...started.map((node) => Date.parse(node.start)));
    const ends = started.map((node) => (Date.parse(node.start) - from) / 1000 + tree.seconds(node));
    const span = Math.max(1, ...ends);
    this.rule(started.length ? span : 0);
    for (const [job, row] of this.rows) {
      const node = tree.nodes.get(job);
      const bar = row.querySelector(".span");
      bar.hidden = !node?.start || stateOf(node) === "Reused";
      if (!node?.start) continue;
      const seconds = tree.seconds(node);
      bar.style.left = `${((Date.parse(node.start) - from) / 10 / span).toFixed(3)}%`;
      bar.style.width = `${((seconds / span) * 100).toFixed(3)}%`;
      say(row.querySelector(".time"), stateOf(node) === "Reused" ? "reused" : tree.time(node));
    }
  }

  /** The marks of the axis. */
  rule(span) {
    const most = Math.max(1, Math.floor(this.axis.clientWidth / TICK));
    const step = STEPS.find((one) => span / one <= most) ?? Math.ceil(span / most / 86400) * 86400;
    const ticks = span ? Array.from({ length: Math.floor(span / step) + 1 }, (_, number) => number * step) : [];
    while (this.axis.children.length > ticks.length) this.axis.lastElementChild.remove();
    while (this.axis.children.length < ticks.length)
      this.axis.append(element("span", { class: "mark" }, element("span")));
    ticks.forEach((seconds, number) => {
      const tick = this.axis.children[number];
      tick.style.left = `${((seconds / span) * 100).toFixed(3)}%`;
      tick.classList.toggle("end", seconds / span > 0.9);
      say(tick.firstElementChild, seconds ? brief(seconds) : "0");
    });
  }

  row(tree, node) {
    const label = element("span", { class: "label" }, node.node);
    const name = element("span", { class: "name" }, icon(stateOf(node)), label);
    const track = element("span", { class: "track" }, element("span", { class: "span" }));
    const choose = () => this.act.choose(node.job);
    const about = { type: "button", class: "row", "data-job": node.job, tabindex: -1, onclick: choose };
    const row = element("button", about, name, track, element("span", { class: "time" }));
    const handle = element("button", { type: "button", class: "handle", onclick: () => this.act.toggle(node.job) });
    return element("li", {}, row, handle);
  }

  dress(item, tree, node, depth, open, isSelected) {
    const [row, handle] = item.children;
    const state = stateOf(node);
    change(row.querySelector(".icon"), state);
    set(row, "data-state", state);
    set(row, "aria-pressed", isSelected);
    set(row, "aria-label", `${node.node}, ${STATES[state].word}`);
    set(row, "title", node.node);
    item.style.setProperty("--depth", depth);
    handle.hidden = !tree.isGroup(node.job);
    set(handle, "aria-expanded", open.has(node.job));
    set(handle, "aria-label", `${open.has(node.job) ? "Close" : "Open"} ${node.node}`);
    say(handle, open.has(node.job) ? "−" : "+");
    if (!node.start) say(row.querySelector(".time"), STATES[state].word);
  }
}

/** The nodes to show and their depths: in the order of their starts, those that wait as they are written. */
function visible(tree, group, open, depth) {
  const start = (node) => (node.start ? Date.parse(node.start) : Number.MAX_SAFE_INTEGER);
  const sorted = [...tree.children(group)].sort((one, two) => start(one) - start(two));
  const inside = (node) => (open.has(node.job) ? visible(tree, node.job, open, depth + 1) : []);
  return sorted.flatMap((node) => [[node, depth], ...inside(node)]);
}

/** A mark of the axis: 30 s, 1 min, 1:30, 2 min. */
function brief(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds >= 3600) return `${Number((seconds / 3600).toFixed(2))} h`;
  const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
  return rest ? `${minutes}:${String(rest).padStart(2, "0")}` : `${minutes} min`;
}
