// The trials of a sweep: the values of each and its metric, the best first.

import { element } from "./elements.js";
import { STATES, icon, stateOf } from "./states.js";
import { number } from "./words.js";

const MOST = 50;

/** The table of a sweep's trials; nothing for any other job. */
export function trialTable(tree, sweep) {
  const { metric, maximize, best } = sweep.trials;
  const trials = metric ? [...tree.children(sweep.job)] : [];
  if (!trials.length) return [];
  const place = ({ job, trials: { score } }) => {
    if (job === best) return -Infinity;
    return score == null ? Infinity : maximize ? -score : score;
  };
  trials.sort((one, two) => place(one) - place(two) || 0); // Infinity less Infinity is no number
  const head = ["trial", metric, "values"].map((text) => element("th", { scope: "col" }, text));
  const rows = trials.slice(0, MOST).map((trial) => row(trial, trial.job === best));
  const more = trials.length - rows.length;
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  return [table, ...(more > 0 ? [element("p", { class: "note" }, `and ${more} more`)] : [])];
}

function row(trial, isBest) {
  const { score, values } = trial.trials;
  const link = element("a", { href: `#node=${encodeURIComponent(trial.job)}` }, trial.node);
  const done = trial.status === "Completed" ? "no metric" : STATES[stateOf(trial)].word;
  const given = Object.entries(values).flatMap(([name, text]) => [element("span", {}, `${name} ${short(text)}`), " "]);
  const best = isBest ? element("strong", {}, "best") : null;
  const cells = [[icon(stateOf(trial)), link, " ", best], [score == null ? done : number(score)], given];
  return element("tr", {}, ...cells.map((cell) => element("td", {}, ...cell)));
}

/** A number with four digits where it has more; any other text as it is. */
function short(text) {
  return text.length > 6 && text.trim() && Number.isFinite(Number(text)) ? number(Number(text)) : text;
}
