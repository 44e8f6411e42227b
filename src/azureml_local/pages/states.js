// The states of a node: a word, an icon and a colour for each; the shape of the icon is enough to tell them apart.

import { drawing } from "./elements.js";

const FILLED = { fill: "currentColor" };
const DISC = ["circle", { cx: 8, cy: 8, r: 7.25, ...FILLED }];
const ring = (kind = "") => ["circle", { cx: 8, cy: 8, r: 6.25, class: `line ${kind}` }];
const mark = (d) => ["path", { d, class: "mark" }];
const line = (d, kind = "") => ["path", { d, class: `line ${kind}` }];

/** In the order in which they are counted. */
export const STATES = {
  Completed: { word: "completed", icon: [DISC, mark("M4.7 8.3l2.3 2.3 4.3-4.9")] },
  Reused: { word: "reused", icon: [DISC, mark("M11 6.2A3.6 3.6 0 1 0 11.5 9M11.4 3.9v2.5H8.9")] },
  Failed: { word: "failed", icon: [DISC, mark("M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2")] },
  Canceled: { word: "canceled", icon: [ring(), line("M3.8 12.2l8.4-8.4")] },
  CancelRequested: {
    word: "being canceled",
    icon: [ring(), ["rect", { x: 5.5, y: 5.5, width: 5, height: 5, ...FILLED }]],
  },
  Running: { word: "running", icon: [ring("faint"), line("M8 1.75a6.25 6.25 0 0 1 6.25 6.25", "turning")] },
  Preparing: { word: "preparing", icon: [ring("dotted"), ["circle", { cx: 8, cy: 8, r: 2, ...FILLED }]] },
  Queued: { word: "queued", icon: [ring(), line("M8 4.5V8l2.4 1.6")] },
  NotStarted: { word: "waiting", icon: [ring("dotted")] },
};

export const FINAL = new Set(["Completed", "Failed", "Canceled", "Reused"]);

/** The key of a node's state; a state that this page does not know is like waiting. */
export function stateOf(node) {
  if (node.reused && node.status === "Completed") return "Reused";
  return STATES[node.status] ? node.status : "NotStarted";
}

/** A state's icon, without words. */
export function icon(state) {
  const parts = STATES[state].icon.map(([name, attributes]) => drawing(name, attributes));
  const size = { viewBox: "0 0 16 16", width: 16, height: 16 };
  return drawing("svg", { class: `icon ${state}`, ...size, "aria-hidden": "true" }, ...parts);
}

/** Show another icon in the place of this one, if the state is another. */
export function change(place, state) {
  if (!place.classList.contains(state)) place.replaceWith(icon(state));
}
