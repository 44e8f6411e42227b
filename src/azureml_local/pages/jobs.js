// The list of all jobs, the newest first; each leads to its own page, and that leads back here.

import { change, icon, stateOf, STATES } from "./states.js";
import { element, fill, say, set } from "./elements.js";
import { Tree } from "./tree.js";
import { count, moment } from "./words.js";
import { ask, unanswered } from "./workspace.js";

const PERIOD = 5000; // milliseconds between two questions

const place = (id) => document.getElementById(id);
const clock = new Tree();
const rows = new Map();

function row(job) {
  const name = element("span", {}, element("strong"), element("small"));
  const parts = ["word", "when", "when lasted"].map((kind) => element("span", { class: kind }));
  return element("li", {}, element("a", { class: "job" }, icon(stateOf(job)), name, ...parts));
}

function dress(item, job) {
  const link = item.firstElementChild;
  const [, name, word, started, lasted] = link.children;
  change(link.firstElementChild, stateOf(job));
  if (!link.hasAttribute("href")) set(link, "href", job.url); // a new signature each time: the link stays
  set(link, "data-state", stateOf(job));
  say(name.firstElementChild, job.display_name || job.job);
  say(name.lastElementChild, [job.experiment, job.job].filter(Boolean).join(" · "));
  say(word, STATES[stateOf(job)].word);
  say(started, job.start ? moment(job.start) : "");
  say(lasted, clock.time(job));
}

async function turn() {
  try {
    const { jobs, now, left_out: leftOut } = await ask(["-", "list"]);
    clock.take({ now, nodes: null });
    for (const job of jobs) {
      if (!rows.has(job.job)) rows.set(job.job, row(job));
      dress(rows.get(job.job), job);
    }
    const none = element("li", { class: "none" }, "No job has been submitted yet.");
    const older = leftOut ? [element("li", { class: "none" }, `and ${count(leftOut, "older job")}`)] : [];
    fill(place("jobs"), jobs.length ? [...jobs.map((job) => rows.get(job.job)), ...older] : [none]);
    say(place("connection"), "");
  } catch (error) {
    say(place("connection"), unanswered(error));
  }
  setTimeout(turn, document.hidden ? 4 * PERIOD : PERIOD);
}

turn();
