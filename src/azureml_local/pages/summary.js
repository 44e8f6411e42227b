// The head of the page: the job's state and progress, what failed and why, what runs now.

import { button, copyButton, element, fill, say, set } from "./elements.js";
import { STATES, change, icon, stateOf } from "./states.js";
import { count, moment, plain } from "./words.js";

const MOST = 5; // of a kind in a list
const ERROR_LINES = 12;

export class Summary {
  /** places: the sections {summary, failures, running}; choose(job) selects a node. */
  constructor(places, choose) {
    this.places = places;
    this.choose = choose;
    this.failed = new Map();
    this.ran = new Map();
  }

  /** Show the tree as it is now. */
  draw(tree) {
    if (!this.title) this.build(tree);
    const state = stateOf(tree.root);
    change(this.title.querySelector(".icon"), state);
    say(this.title.querySelector("h1"), tree.title(tree.root));
    say(this.word, STATES[state].word);
    set(this.word, "data-state", state);
    this.drawProgress(tree);
    this.drawFailures(tree);
    this.tick(tree);
  }

  /** Let the times of what runs go on. */
  tick(tree) {
    const { start, end } = tree.root;
    const started = start ? `started ${moment(start)}` : "not started";
    say(this.times, [tree.time(tree.root), started, end && `ended ${moment(end)}`].filter(Boolean).join(" · "));
    const title = [STATES[stateOf(tree.root)].word, tree.title(tree.root)].join(" · ");
    if (document.title !== title) document.title = title;
    this.cancel.hidden = tree.isFinal || !this.places.summary.dataset.cancel;
    this.drawRunning(tree);
  }

  build(tree) {
    this.word = element("span", { class: "state" });
    this.title = element("div", { class: "title" }, icon(stateOf(tree.root)), element("h1"), this.word);
    this.times = element("span");
    const facts = [tree.experiment !== tree.root.display_name && tree.experiment, tree.name].filter(Boolean);
    const job = element("p", { class: "facts" }, this.times, ...facts.map((fact) => element("span", {}, fact)));
    const command = this.places.summary.dataset.cancel;
    const copy = copyButton(command, "the command that cancels the job");
    this.cancel = element("p", { class: "facts" }, "To cancel it:", element("code", {}, command), copy);
    this.strip = element("div", { class: "strip", "aria-hidden": "true" });
    this.counts = element("ul", { class: "counts", "aria-label": "Nodes by state" });
    this.places.summary.replaceChildren(this.title, job, this.cancel, this.strip, this.counts);
  }

  /** How many nodes are in each state. */
  drawProgress(tree) {
    const alone = !tree.isGroup(tree.name);
    this.strip.hidden = this.counts.hidden = alone;
    if (alone) return;
    const leaves = tree.leaves();
    const tally = (state) => leaves.filter((leaf) => stateOf(leaf) === state).length;
    const sums = Object.keys(STATES)
      .map((state) => [state, tally(state)])
      .filter(([, sum]) => sum);
    const key = JSON.stringify(sums);
    if (key === this.sums) return;
    this.sums = key;
    this.strip.replaceChildren(
      ...sums.map(([state, sum]) => {
        const part = element("span", { "data-state": state });
        part.style.flexGrow = sum;
        return part;
      }),
    );
    const items = sums.map(([state, sum]) => element("li", {}, icon(state), `${sum} ${STATES[state].word}`));
    this.counts.replaceChildren(...items, element("li", { class: "all" }, `of ${count(leaves.length, "node")}`));
  }

  drawFailures(tree) {
    let failed = tree.leaves().filter((leaf) => stateOf(leaf) === "Failed");
    if (!failed.length && stateOf(tree.root) === "Failed") failed = [tree.root];
    failed.sort((one, two) => Date.parse(one.end ?? 0) - Date.parse(two.end ?? 0));
    this.places.failures.hidden = !failed.length || !tree.isGroup(tree.name);
    const card = (node) => this.keep(this.failed, `${node.job} ${node.error}`, () => this.failure(tree, node));
    const cards = failed.slice(0, MOST).map(card);
    const more = failed.length - cards.length;
    const rest = () => element("p", { class: "more" }, `and ${count(more, "other node")}`);
    fill(this.places.failures, more > 0 ? [...cards, this.keep(this.failed, `more ${more}`, rest)] : cards);
  }

  keep(kept, key, make) {
    if (!kept.has(key)) kept.set(key, make());
    return kept.get(key);
  }

  failure(tree, node) {
    const [sentence, lines] = explain(node);
    const name =
      tree
        .path(node.job)
        .map((one) => one.node)
        .join(" › ") || tree.title(node);
    const show = button("Show the node", () => this.choose(node.job));
    const head = element("div", { class: "head" }, icon("Failed"), element("h2", {}, `${name} failed`), show);
    const log = lines && element("pre", { tabindex: 0, "aria-label": `The last lines of the log of ${name}` }, lines);
    return element("article", { class: "failure", "data-job": node.job }, head, element("p", {}, sentence), log);
  }

  drawRunning(tree) {
    const isRunning = (node) => ["Running", "Preparing"].includes(stateOf(node)) && node.job !== tree.name;
    const running = tree.leaves().filter(isRunning);
    this.places.running.hidden = !running.length;
    const rows = running.slice(0, MOST).map((node) => this.keep(this.ran, node.job, () => this.runner(tree, node)));
    fill(this.places.running, [this.places.running.firstElementChild, ...rows]);
    for (const node of running.slice(0, MOST)) {
      const [name, time, line] = this.ran.get(node.job).children;
      change(name.querySelector(".icon"), stateOf(node));
      say(time, tree.time(node));
      say(line, plain(tree.lastLines[node.job] ?? ""));
    }
    const more = running.length - rows.length;
    say(this.places.running.firstElementChild, more > 0 ? `Running now (${running.length})` : "Running now");
  }

  runner(tree, node) {
    const path = tree
      .path(node.job)
      .map((one) => one.node)
      .join(" › ");
    const name = element("span", { class: "name" }, icon(stateOf(node)), element("span", {}, path));
    const parts = [name, element("span", { class: "time" }), element("code", { class: "last" })];
    return element("button", { type: "button", class: "runner", onclick: () => this.choose(node.job) }, ...parts);
  }
}

/** An error's sentence, and the last lines of the log that come with it. */
export function explain(node) {
  const [sentence, ...lines] = plain(node.error ?? "It does not say why.")
    .trim()
    .split("\n");
  const end = lines.slice(-ERROR_LINES).join("\n");
  return [sentence, end || null];
}
