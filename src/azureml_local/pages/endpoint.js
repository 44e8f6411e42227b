// Asks an endpoint by hand: texts in, what a deployment answers out; made for models that fill masks, good for any.

import { element, fill } from "./elements.js";
import { number } from "./words.js";
import { address, ask, unanswered } from "./workspace.js";

const MASK = "[MASK]";
const PERIOD = 5000; // milliseconds between two looks at the deployments
const place = (id) => document.getElementById(id);

/** The request that the form stands for; one in JSON goes as it is. Throws a SyntaxError for one that is cut short. */
function request() {
  const typed = place("texts").value.trim();
  if (typed.startsWith("{")) return JSON.parse(typed);
  const texts = place("texts").value.split("\n").filter((text) => text.trim());
  const words = place("words").valueAsNumber;
  return words > 1 ? { input_data: texts, params: { top_k: words, return_scores: true } } : { input_data: texts };
}

/** A text with its masks filled; as it is where there are not as many words as masks. */
function filled(text, words) {
  const parts = text.split(MASK);
  const line = element("p", { class: "text" });
  if (parts.length !== words.length + 1) line.append(`${text} → `, element("mark", {}, words.join(" ")));
  else parts.forEach((part, at) => line.append(part, at < words.length ? element("mark", {}, words[at]) : ""));
  return line;
}

function candidates(list) {
  const cells = list.flatMap(({ word, score }) => [
    element("span", {}, word),
    element("meter", { min: 0, max: 1, value: score, "aria-label": `probability of ${word}` }),
    element("span", { class: "note" }, number(score)),
  ]);
  return element("div", { class: "candidates" }, ...cells);
}

const isCandidate = (one) => typeof one?.word === "string" && typeof one.score === "number";
const isCandidates = (entry) => Array.isArray(entry) && entry.length > 0 && entry.every(isCandidate);

/** What was answered to one text: a word, candidates with scores, a list of those for each mask, or anything else. */
function answered(text, entry) {
  if (typeof entry === "string") return [filled(text, entry.split(" "))];
  const masks = isCandidates(entry) ? [entry] : entry;
  if (!Array.isArray(masks) || !masks.length || !masks.every(isCandidates)) return [filled(text, [JSON.stringify(entry)])];
  return [filled(text, masks.map(([best]) => best.word)), ...masks.map(candidates)];
}

const refused = (words) => element("p", { class: "refusal" }, words);

/** The sentence in a refusal, wherever the one who refused has put it. */
function reason(body, status) {
  const error = body?.error ?? body;
  return `${status}: ${typeof error === "string" ? error : error?.message ?? JSON.stringify(body)}`;
}

function show(question, reply, body, milliseconds) {
  const texts = question.input_data;
  const areTexts = Array.isArray(texts) && texts.every((text) => typeof text === "string");
  const isList = reply.ok && areTexts && Array.isArray(body) && body.length === texts.length;
  const status = reply.headers.get("ms-azureml-model-error-statuscode") ?? reply.status;
  const words = reply.status === 403 ? unanswered(reply) : reason(body, status);
  const rows = isList ? texts.flatMap((text, at) => answered(text, body[at])) : reply.ok ? [] : [refused(words)];
  const who = reply.headers.get("azureml-model-deployment");
  const note = element("p", { class: "note" }, `${who ? `${who} answered` : "answered"} in ${milliseconds.toFixed(0)} ms`);
  const json = (value) => element("pre", {}, JSON.stringify(value, null, 1));
  const raw = element("details", { open: !rows.length }, element("summary", {}, "Request and reply"), json(question), json(body));
  place("answer").replaceChildren(...rows, note, raw);
}

async function submit(event) {
  event.preventDefault();
  let question;
  try {
    question = request();
  } catch (error) {
    place("answer").replaceChildren(refused(`This begins as JSON and is none: ${error.message}`));
    return;
  }
  const button = document.querySelector("button[type=submit]");
  const headers = { "Content-Type": "application/json" };
  if (place("deployment").value) headers["azureml-model-deployment"] = place("deployment").value;
  button.disabled = true;
  const start = performance.now();
  let reply, body;
  try {
    const options = { method: "POST", headers, body: JSON.stringify(question), credentials: "omit" };
    reply = await fetch(address(["score"]), options);
    body = await reply.text();
  } catch {
    place("answer").replaceChildren(refused(unanswered({})));
    return;
  } finally {
    button.disabled = false;
  }
  const milliseconds = performance.now() - start;
  try {
    body = JSON.parse(body);
  } catch {
    // a server in trouble does not answer in JSON: its words are shown
  }
  show(question, reply, body, milliseconds);
}

/** Take what the deployments are now; the one that was chosen stays so as long as it is there. */
function take(deployments) {
  const choice = place("deployment");
  const options = new Map([...choice.options].map((option) => [option.value, option]));
  fill(choice, ["", ...deployments.map(({ name }) => name)].map((name) => options.get(name) ?? element("option", { value: name }, name)));
  const facts = deployments.map(({ name, state, traffic, copies }) =>
    `${name}: ${state}, ${traffic} % of the traffic${copies ? `, copies of ${copies} %` : ""}`,
  );
  const said = facts.length ? facts : ["No deployment yet."];
  if (said.join() !== [...place("deployments").children].map((one) => one.textContent).join())
    place("deployments").replaceChildren(...said.map((fact) => element("span", {}, fact)));
}

async function turn() {
  try {
    take((await ask(["state"])).deployments);
  } catch (error) {
    place("deployments").replaceChildren(refused(unanswered(error)));
  }
  setTimeout(turn, document.hidden ? 4 * PERIOD : PERIOD);
}

place("question").addEventListener("submit", submit);
place("texts").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) place("question").requestSubmit();
});
turn();
