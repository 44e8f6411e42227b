// The end of a log, which grows while the job writes; what the reader has selected or scrolled to stays where it is.

import { element, say, set } from "./elements.js";
import { plain, size } from "./words.js";
import { address, ask } from "./workspace.js";

const MOST_TEXT = 512 * 1024; // characters that are kept
const BOTTOM = 24; // pixels from the end that still count as the end

export class LogView {
  constructor(job) {
    this.job = job;
    this.name = null;
    this.top = 0; // how far the text was scrolled last
    this.choice = element("select", { "aria-label": "Log", onchange: () => this.choose(this.choice.value) });
    this.follow = element("input", { type: "checkbox", checked: true, onchange: () => this.toEnd() });
    this.whole = element("a", { target: "_blank", rel: "noopener" });
    this.text = element("pre", { class: "log", tabindex: 0, role: "region", "aria-label": "End of the log" });
    this.text.addEventListener("scroll", () => this.heed());
    new ResizeObserver(() => this.toEnd()).observe(this.text); // other lines are wrapped then
    const bar = element(
      "div",
      { class: "bar" },
      element("h3", {}, "Log"),
      this.choice,
      element("label", {}, this.follow, "Follow"),
      this.whole,
    );
    this.note = element("p", { class: "note", hidden: true });
    this.place = element("section", { class: "logs", hidden: true, "aria-label": "Log" }, bar, this.note, this.text);
  }

  /** Take the list of logs, and ask for what was added to the one that is shown. */
  async refresh(logs) {
    this.place.hidden = !logs.length;
    if (!logs.length) return;
    this.list(logs.map((log) => log.name));
    if (!logs.some((log) => log.name === this.name)) this.start(logs[0].name);
    this.choice.value = this.name;
    const { name, end } = this;
    const log = logs.find((one) => one.name === name);
    set(this.whole, "href", address(["nodes", this.job, "logs", name]));
    say(this.whole, `Whole file, ${size(log.size)}`);
    if (log.size === end) return;
    const piece = await ask(["nodes", this.job, "tail", name], { since: end });
    if (name === this.name && end === this.end) this.take(piece);
  }

  list(names) {
    if (JSON.stringify(names) === this.names) return;
    this.names = JSON.stringify(names);
    this.choice.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    this.choice.hidden = names.length < 2;
  }

  async choose(name) {
    this.start(name);
    try {
      this.take(await ask(["nodes", this.job, "tail", name]));
    } catch {
      this.end = null; // the next turn asks again
    }
  }

  start(name) {
    this.name = name;
    this.end = null;
    this.text.replaceChildren();
    this.follow.checked = true;
  }

  take(piece) {
    if (piece.start !== this.end) this.begin(piece);
    this.end = piece.end;
    this.write(piece.text);
    if (this.follow.checked) this.toEnd();
  }

  /** Begin anew: the first piece, or one that does not follow on what is there. */
  begin(piece) {
    this.open = document.createTextNode(""); // the line that is not finished
    this.raw = "";
    this.text.replaceChildren(this.open);
    this.note.hidden = piece.start === 0;
    say(this.note, `The last ${size(piece.size - piece.start)} of ${size(piece.size)}.`);
  }

  write(text) {
    const lines = (this.raw + text).split("\n");
    this.raw = remaining(lines.pop());
    if (lines.length) this.open.before(document.createTextNode(lines.map((line) => `${shown(line)}\n`).join("")));
    const open = shown(this.raw);
    if (this.open.data !== open) this.open.data = open;
    let length = this.text.textContent.length;
    while (length > MOST_TEXT && this.text.childNodes.length > 2) {
      length -= this.text.firstChild.length;
      this.text.firstChild.remove();
    }
  }

  isAtEnd() {
    return this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < BOTTOM;
  }

  /** Follow a reader who has gone to the end, and leave one alone who has gone up; lines that wrap move nobody. */
  heed() {
    const { scrollTop } = this.text;
    if (this.isAtEnd()) this.follow.checked = true;
    else if (scrollTop < this.top) this.follow.checked = false;
    this.top = scrollTop;
  }

  toEnd() {
    if (!this.follow.checked) return;
    this.text.scrollTop = this.text.scrollHeight;
    this.top = this.text.scrollTop;
  }
}

/** A line as a terminal leaves it: of what was written over, the last. */
function shown(line) {
  const text = plain(line);
  let length = text.length;
  while (text[length - 1] === "\r") length--;
  return text.slice(text.slice(0, length).lastIndexOf("\r") + 1, length);
}

/** What of a line that is not finished can still be seen: a bar that is drawn for hours is not kept from its beginning. */
function remaining(line) {
  const turns = line.split("\r");
  const isSeen = (turn) => plain(turn).replace(/\x1b.*$/s, "") !== ""; // of a code that is cut in two there is nothing to see
  return turns.slice(Math.max(0, turns.findLastIndex(isSeen))).join("\r").slice(-MOST_TEXT);
}
