// Makes elements whose text is always text: nothing that a job has written is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, listeners (`onclick`) and children, each of them a node or text. */
export function element(name, attributes = {}, ...children) {
  return furnish(document.createElement(name), attributes, children);
}

/** The same of an SVG. */
export function drawing(name, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, name), attributes, children);
}

function furnish(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

/** A small button. */
export function button(text, onclick, attributes = {}) {
  return element("button", { type: "button", class: "small", onclick, ...attributes }, text);
}

/** Change a text only if it differs: what the reader has selected stays selected. */
export function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** Change an attribute only if it differs; null takes it away. */
export function set(place, name, value) {
  if (value == null) place.removeAttribute(name);
  else if (place.getAttribute(name) !== String(value)) place.setAttribute(name, value);
}

/** Let `place` have exactly these children, and leave alone those that are there already. */
export function fill(place, children) {
  children.forEach((child, number) => {
    if (place.children[number] !== child) place.insertBefore(child, place.children[number] ?? null);
  });
  while (place.children.length > children.length) place.lastElementChild.remove();
}

/** A button that copies a text. */
export function copyButton(text, what) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      made.textContent = "Copied";
    } catch {
      made.textContent = "Not allowed";
    }
    setTimeout(() => (made.textContent = "Copy"), 1500);
  };
  const made = button("Copy", copy, { "aria-label": `Copy ${what}` });
  return made;
}

/** Let the arrow keys move between the buttons of a container by where they stand; Tab leaves it. */
export function rove(container, selector) {
  container.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const from = event.target.closest(selector);
    if (!way || !from) return;
    event.preventDefault();
    const next = nearest(from, [...container.querySelectorAll(selector)], way);
    if (next) next.focus();
  });
  container.addEventListener("focusin", (event) => {
    const chosen = event.target.closest(selector);
    if (chosen) stop(container, selector, chosen);
  });
}

/** Make one of the buttons the one that Tab reaches. */
export function stop(container, selector, chosen) {
  for (const button of container.querySelectorAll(selector)) set(button, "tabindex", button === chosen ? 0 : -1);
}

function nearest(from, buttons, [right, down]) {
  const middle = (button) => {
    const box = button.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
  };
  const [x, y] = middle(from);
  const cost = (button) => {
    const [dx, dy] = [middle(button)[0] - x, middle(button)[1] - y];
    const ahead = dx * right + dy * down;
    const aside = Math.abs(dx * down + dy * right);
    if (ahead <= 1) return Infinity;
    return right ? 3 * ahead + aside : ahead + 3 * aside; // to the next column; along the same one
  };
  const best = buttons.filter((button) => button !== from).sort((one, two) => cost(one) - cost(two))[0];
  return best && cost(best) < Infinity ? best : null;
}
