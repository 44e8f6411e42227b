// One node, or the job itself: state, metrics, log, inputs and parameters, outputs, command and environment.

import { Charts } from "./charts.js";
import { button, copyButton, element, say, set } from "./elements.js";
import { LogView } from "./log.js";
import { Outputs } from "./outputs.js";
import { FINAL, STATES, change, icon, stateOf } from "./states.js";
import { explain } from "./summary.js";
import { trialTable } from "./trials.js";
import { moment } from "./words.js";
import { ask } from "./workspace.js";

const NARROW = matchMedia("(max-width: 1099px)");

export class Details {
  /** place: the section; leave() goes back to the job. */
  constructor(place, leave) {
    this.place = place;
    this.leave = leave;
    this.job = null;
    this.isComplete = false; // nothing will come that is not shown
  }

  /** Begin with a node, unless it is the one that is shown. */
  show(tree, job) {
    if (job === this.job || !tree.nodes.has(job)) return;
    this.job = job;
    this.isComplete = false;
    this.known = "";
    const node = tree.nodes.get(job);
    this.charts = new Charts(job);
    this.log = new LogView(job);
    this.outputs = new Outputs(job);
    this.build(tree, node);
    this.draw(tree);
    this.place.scrollTop = 0;
  }

  build(tree, node) {
    const isJob = node.job === tree.name;
    const back = isJob ? null : button("Show the job", this.leave);
    const heading = element("h2", {}, isJob ? "The job" : node.node);
    this.title = element("div", { class: "title" }, icon(stateOf(node)), heading, back);
    this.facts = element("p", { class: "facts" });
    this.origin = element("p", { class: "origin", hidden: true });
    this.error = element("div", { class: "failure", hidden: true });
    this.warnings = element("ul", { class: "failure mild", "aria-label": "Warnings", hidden: true });
    const around = tree
      .path(node.job)
      .slice(0, -1)
      .map((one) => one.node);
    const group = around.length ? element("span", {}, `in ${around.join(" › ")}`) : null;
    const name = [element("span", {}, node.job), copyButton(node.job, "the job's name")];
    this.about = element("p", { class: "about", hidden: true });
    this.trials = section("Trials", "trials");
    this.given = section("Inputs and parameters", "given");
    this.command = section("Command and environment", "command");
    const head = [this.title, this.facts, element("p", { class: "facts" }, group, ...name)];
    const first = [this.about, this.origin, this.error, this.warnings, this.trials, this.charts.place, this.log.place];
    this.place.replaceChildren(...head, ...first, this.given, this.outputs.place, this.command);
    set(this.place, "aria-label", `Details of ${tree.title(node)}`);
  }

  /** Show the node's state as it is now. */
  draw(tree) {
    const node = tree.nodes.get(this.job);
    if (!node) return;
    change(this.title.querySelector(".icon"), stateOf(node));
    this.drawError(tree, node);
    this.warnings.hidden = !node.warnings.length;
    if (node.warnings.length !== this.warnings.children.length) {
      this.warnings.replaceChildren(...node.warnings.map((text) => element("li", {}, text)));
    }
    this.origin.hidden = !node.reused;
    this.drawTrials(tree, node);
    if (node.reused && !this.origin.firstChild) this.origin.append(...origin(node.reused));
    this.tick(tree);
  }

  /** Let the time of what runs go on. */
  tick(tree) {
    const node = tree.nodes.get(this.job);
    if (!node) return;
    const times = [node.start, node.end].filter(Boolean).map(moment).join(" to ");
    const facts = [STATES[stateOf(node)].word, tree.time(node), times, node.type.toLowerCase()];
    say(this.facts, facts.filter(Boolean).join(" · "));
  }

  /** Made anew only when something of them has changed: a link that has the focus keeps it. */
  drawTrials(tree, node) {
    const text = JSON.stringify([node.trials, tree.children(node.job).map((trial) => [trial.status, trial.trials])]);
    if (!node.trials.metric || this.trials.dataset.text === text) return;
    this.trials.dataset.text = text;
    renew(this.trials, trialTable(tree, node));
  }

  drawError(tree, node) {
    const isShown = Boolean(node.error) && (node.job !== tree.name || !tree.isGroup(tree.name));
    this.error.hidden = !isShown;
    if (!isShown || this.error.dataset.text === node.error) return;
    this.error.dataset.text = node.error;
    this.error.classList.toggle("mild", stateOf(node) === "Canceled");
    const [sentence, lines] = explain(node);
    const log = lines && element("pre", { tabindex: 0, "aria-label": "The last lines of the log" }, lines);
    this.error.replaceChildren(element("p", {}, sentence), ...(log ? [log] : []));
  }

  /** Ask for what has changed of this node; once more after its end, and then no more. */
  async refresh(tree) {
    const [job, node] = [this.job, tree.nodes.get(this.job)];
    if (!node || this.isComplete) return;
    const isFinal = FINAL.has(stateOf(node));
    const about = await ask(["nodes", job]);
    if (job !== this.job) return;
    this.drawAbout(about);
    await Promise.all([this.charts.refresh(), this.log.refresh(about.logs), this.outputs.refresh(about.outputs)]);
    if (job === this.job) this.isComplete = isFinal;
  }

  drawAbout(about) {
    const text = JSON.stringify({ ...about, logs: null, outputs: null });
    if (text === this.known) return;
    this.known = text;
    const logged = Object.entries(about.params).filter(([name, value]) => about.inputs[name] !== value);
    const inputs = table("", Object.entries(about.inputs));
    const tags = table("Tags", Object.entries(about.tags));
    say(this.about, about.description);
    this.about.hidden = !about.description;
    renew(this.given, [...inputs, ...table("Logged parameters", logged), ...tags]);
    renew(this.command, [...command(about.command), ...environment(about.environment)]);
  }

  /** On a narrow page the details are below the graph: go there. */
  reveal() {
    if (!NARROW.matches) return;
    const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.place.scrollIntoView({ behavior: smooth ? "smooth" : "auto", block: "start" });
    this.place.focus({ preventScroll: true });
  }
}

function section(title, name) {
  return element("section", { class: name, hidden: true, "aria-label": title }, element("h3", {}, title));
}

/** Replace what is under a section's heading. */
function renew(place, children) {
  place.hidden = !children.length;
  place.replaceChildren(place.firstElementChild, ...children);
}

function table(title, rows) {
  if (!rows.length) return [];
  const head = (name) => element("th", { scope: "row" }, name);
  const copy = (name, text) => (text.startsWith("/") ? copyButton(text, name) : null); // a path
  const lines = rows.map(([name, value]) =>
    element("tr", {}, head(name), element("td", {}, String(value), " ", copy(name, String(value)))),
  );
  return [...(title ? [element("h4", {}, title)] : []), element("table", {}, element("tbody", {}, ...lines))];
}

function command(text) {
  if (!text) return [];
  const bar = element("div", { class: "bar" }, element("h4", {}, "Command"), copyButton(text, "the command"));
  return [bar, element("pre", { tabindex: 0, "aria-label": "Command" }, text)];
}

function environment(text) {
  return text ? [element("h4", {}, "Environment"), element("p", { class: "path" }, text)] : [];
}

function origin(reused) {
  const job = reused.url ? element("a", { href: reused.url }, reused.job) : element("span", {}, reused.job);
  const isInner = reused.root && reused.root !== reused.job;
  return ["Not run again: its outputs are those of ", job, isInner ? `, of the job ${reused.root}.` : "."];
}
