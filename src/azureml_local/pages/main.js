// The page of a job: asks for its state every second while it runs, and lets each part of the page show it.

import { Details } from "./details.js";
import { say, set } from "./elements.js";
import { Graph } from "./graph.js";
import { Summary } from "./summary.js";
import { Timeline } from "./timeline.js";
import { Tree } from "./tree.js";
import { Unanswered, ask, unanswered } from "./workspace.js";
import { duration } from "./words.js";

const PERIOD = 1000; // milliseconds between two questions
const HIDDEN = 15000; // the same while nobody looks
const SLOWEST = 15000; // the same while nobody answers
const MOST_OPEN = 40; // nodes that are shown without being asked for
const MOST_TRIALS = 12; // nodes of a group that is open from the start

const place = (id) => document.getElementById(id);
const tree = new Tree();
const open = new Set();
const graph = new Graph(place("graph"), choose, toggle);
const timeline = new Timeline(place("timeline"), choose, toggle);
const places = { summary: place("summary"), failures: place("failures"), running: place("running") };
const summary = new Summary(places, choose);
const details = new Details(place("details"), () => choose(null));

let version = "";
let failures = 0;
let answered = performance.now();
let timer = 0;
let asking = false;
let again = false;
let refusal = "";
let status = 0; // of the refusal

/** Select a node, or the job itself; the address tells it, so that it can be shared and survives a reload. */
function choose(job) {
  const hash = job && job !== tree.name ? `#node=${encodeURIComponent(job)}` : "";
  if (hash !== location.hash) history.pushState(null, "", hash || location.pathname + location.search);
  show();
  if (job) details.reveal();
}

function toggle(job) {
  if (!open.delete(job)) open.add(job);
  draw();
}

function selected() {
  let job = "";
  try {
    job = decodeURIComponent(location.hash.match(/^#node=(.+)$/)?.[1] ?? "");
  } catch {
    // a link that was cut off within a sign: the job itself is shown
  }
  return tree.nodes.has(job) ? job : tree.name;
}

/** Show the selected node; its groups open, so that it can be seen. */
function show() {
  for (const node of tree.path(selected()).slice(0, -1)) open.add(node.job);
  details.show(tree, selected());
  draw();
  turn();
}

function draw() {
  set(document.body, "data-alone", tree.isGroup(tree.name) ? null : "");
  summary.draw(tree);
  graph.draw(tree, open, selected());
  timeline.draw(tree, open, selected());
  details.draw(tree);
}

/** Ask once, show the answer, and arrange for the next time. */
async function turn() {
  clearTimeout(timer);
  again = asking; // what was chosen meanwhile is asked for afterwards
  if (asking) return;
  asking = true;
  try {
    take(await ask(["state"], { since: version }));
    await details.refresh(tree);
    [failures, answered] = [0, performance.now()];
  } catch (error) {
    failures += 1;
    complain(error);
  } finally {
    asking = false;
  }
  connect();
  if (again) timer = setTimeout(turn);
  else if (pause()) timer = setTimeout(turn, pause());
}

function take(state) {
  const first = !version;
  tree.take(state);
  version = state.version;
  if (first) {
    unfold();
    for (const node of tree.path(selected()).slice(0, -1)) open.add(node.job);
    details.show(tree, selected());
  }
  if (state.nodes) draw();
}

/** Open the groups from the outside inwards as long as not too much is shown. */
function unfold() {
  let shown = tree.children(tree.name).length;
  for (const node of tree.nodes.values()) {
    const inside = tree.children(node.job).length;
    if (node.job === tree.name || !inside || inside > MOST_TRIALS || shown + inside > MOST_OPEN) continue;
    if (node.parent !== tree.name && !open.has(node.parent)) continue;
    open.add(node.job);
    shown += inside;
  }
}

/** Milliseconds until the next question; 0 when nothing will change any more. */
function pause() {
  if (failures) return Math.min(SLOWEST, PERIOD * 2 ** (failures - 1));
  if (version && tree.isFinal && details.isComplete) return 0;
  return document.hidden ? HIDDEN : PERIOD;
}

function complain(error) {
  const isOurs = !(error instanceof Unanswered);
  if (isOurs) reportError(error);
  status = error.status ?? 0;
  const known = { 0: "silent", 401: "expired", 403: "expired", 404: "gone" };
  refusal = isOurs ? "broken" : (known[status] ?? "refused");
}

/** Say when the workspace does not answer, and since when. */
function connect() {
  const since = duration(Math.floor((performance.now() - answered) / 1000));
  const text = {
    silent: `The workspace no longer answers. This is ${since} old; trying again. “azureml-local up” starts it.`,
    refused: `${unanswered({ status })} This is ${since} old; trying again.`,
    expired: "This address is no longer valid: the workspace signs it for a day. Ask for the job's Web View again.",
    gone: "The workspace does not know this job any more.",
    broken: "This page has failed; the browser's console says where. Load it again.",
  };
  say(place("connection"), failures ? text[refusal] : "");
  document.body.classList.toggle("silent", failures > 0);
}

setInterval(() => {
  if (!version || document.hidden) return;
  if (failures) return connect();
  if (tree.isFinal) return;
  summary.tick(tree);
  graph.tick(tree);
  timeline.tick(tree);
  details.tick(tree);
}, PERIOD);
addEventListener("popstate", () => version && show());
addEventListener("hashchange", () => version && show());
document.addEventListener("visibilitychange", () => !document.hidden && pause() && turn());
turn();
