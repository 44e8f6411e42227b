// The job and the nodes below it, as the workspace told them last.

import { FINAL, stateOf } from "./states.js";
import { duration } from "./words.js";

export class Tree {
  constructor() {
    this.nodes = new Map(); // by the names of their jobs
    this.below = new Map(); // the nodes in each of them
    this.now = 0; // the workspace's clock, in milliseconds
    this.heard = 0; // this page's clock at that moment
    this.lastLines = {};
  }

  /** Take an answer of the workspace; `nodes` is null in one that brings no news of them. */
  take(state) {
    this.now = Date.parse(state.now);
    this.heard = performance.now();
    this.lastLines = state.last_lines;
    if (!state.nodes) return;
    this.name = state.job;
    this.experiment = state.experiment;
    this.nodes = new Map(state.nodes.map((node) => [node.job, node]));
    this.below = new Map();
    const names = new Map(state.nodes.map((node) => [node.job, `${node.node}.`]));
    for (const node of state.nodes) {
      const around = names.get(node.parent) ?? "";
      if (node.node.startsWith(around)) node.node = node.node.slice(around.length); // `fit` of `train.fit`
      if (node.job === this.name) continue;
      if (!this.below.has(node.parent)) this.below.set(node.parent, []);
      this.below.get(node.parent).push(node);
    }
  }

  get root() {
    return this.nodes.get(this.name);
  }

  get isFinal() {
    return FINAL.has(stateOf(this.root));
  }

  children(name) {
    return this.below.get(name) ?? [];
  }

  isGroup(name) {
    return this.below.has(name);
  }

  /** The nodes that do the work, in the order in which they are written; of a stand-alone job, itself. */
  leaves(name = this.name) {
    if (!this.isGroup(name)) return [this.nodes.get(name)];
    return this.children(name).flatMap((node) => this.leaves(node.job));
  }

  /** The nodes around a node and itself, from below the job inwards. */
  path(name) {
    const path = [];
    for (let node = this.nodes.get(name); node && node.job !== this.name; node = this.nodes.get(node.parent)) {
      path.unshift(node);
    }
    return path;
  }

  /** What to call a node. */
  title(node) {
    return node.job === this.name ? node.display_name || node.job : node.node;
  }

  /** How long a node has run, or did run, in seconds; null before its start. */
  seconds(node) {
    if (!node.start) return null;
    const end = node.end ? Date.parse(node.end) : this.now + performance.now() - this.heard;
    return Math.max(0, (end - Date.parse(node.start)) / 1000);
  }

  /** The same in words; of what still runs, whole seconds. */
  time(node) {
    const seconds = this.seconds(node);
    return duration(node.end || seconds == null ? seconds : Math.floor(seconds));
  }

  /** Who reads from whom among the nodes in a group: what lies deeper counts for the node that holds it. */
  edges(group) {
    const found = new Map();
    for (const node of this.nodes.values()) {
      for (const need of node.needs) {
        const [from, to] = [this.within(group, need), this.within(group, node.job)];
        if (from && to && from !== to) found.set(`${from} ${to}`, [from, to]);
      }
    }
    return [...found.values()];
  }

  /** The child of a group that is the node or holds it. */
  within(group, name) {
    return this.path(name).find((node) => node.parent === group)?.job;
  }
}
