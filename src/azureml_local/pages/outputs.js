// What a job has written: where it is on this machine, and its files, folder by folder.

import { copyButton, element } from "./elements.js";
import { count, size } from "./words.js";
import { address, ask } from "./workspace.js";

export class Outputs {
  constructor(job) {
    this.job = job;
    this.known = "";
    this.list = element("div");
    this.place = element(
      "section",
      { class: "outputs", hidden: true, "aria-label": "Outputs" },
      element("h3", {}, "Outputs"),
      this.list,
    );
  }

  /** Take the outputs by name, with their paths. */
  async refresh(outputs) {
    const text = JSON.stringify(outputs);
    if (text === this.known) return;
    this.known = text;
    this.place.hidden = text === "{}";
    this.list.replaceChildren(...Object.entries(outputs).map(([name, path]) => this.output(name, path)));
  }

  output(name, path) {
    const files = element("div", { class: "files" });
    const opened = element("details", { class: "output" }, element("summary", {}, element("span", {}, name)), files);
    opened.addEventListener("toggle", () => opened.open && !files.firstChild && this.open(files, name, ""));
    const where = element("p", { class: "path" }, element("code", {}, path), copyButton(path, `the path of ${name}`));
    return element("div", {}, opened, where);
  }

  /** List a folder of an output. */
  async open(place, output, below) {
    try {
      const listed = await ask(["nodes", this.job, "outputs", output], { below });
      const entries = listed.entries.map((entry) => this.entry(output, below, entry));
      const more = listed.left_out ? [element("li", { class: "note" }, `and ${count(listed.left_out, "other")}`)] : [];
      const empty = entries.length ? [] : [element("li", { class: "note" }, "Empty.")];
      place.replaceChildren(element("ul", {}, ...entries, ...more, ...empty));
    } catch {
      const again = element(
        "button",
        { type: "button", class: "small", onclick: () => this.open(place, output, below) },
        "Try again",
      );
      place.replaceChildren(element("p", { class: "note" }, "The list could not be had. ", again));
    }
  }

  entry(output, below, entry) {
    const path = below ? `${below}/${entry.name}` : entry.name;
    if (!entry.folder) {
      const link = element(
        "a",
        { href: address(["nodes", this.job, "files", output, path]), download: entry.name },
        entry.name,
      );
      return element("li", {}, link, element("span", { class: "size" }, size(entry.size)));
    }
    const files = element("div", { class: "files" });
    const folder = element("details", {}, element("summary", {}, `${entry.name}/`), files);
    folder.addEventListener("toggle", () => folder.open && !files.firstChild && this.open(files, output, path));
    return element("li", {}, folder);
  }
}
