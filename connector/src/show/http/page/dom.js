// Elements without a framework. Text goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An HTML element: attributes by name, children as elements or text. */
export const h = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);

/** The same for SVG. */
export const s = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Changes text only where it differs, so that a selection or a screen reader is not disturbed. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/**
 * Shows a dialog; resolves to whether it was confirmed. Focus goes back to what opened it. Cancel submits nothing: Enter
 * in a field presses the first button that does.
 */
export function ask(dialog) {
  return new Promise((resolve) => {
    dialog.querySelector(".cancel").onclick = () => dialog.close();
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "go"), { once: true });
    dialog.returnValue = "";
    dialog.showModal();
  });
}

const drawn = new WeakMap();
const FOCUSABLE = "a, button, [tabindex]";

/** Redraws `element` only when what it is made from has changed. The focus stays where it was, by order. */
export function whenChanged(element, data, draw) {
  const key = JSON.stringify(data);
  if (drawn.get(element) === key) return;
  drawn.set(element, key);
  const focus = [...element.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  element.replaceChildren(...[draw()].flat());
  if (focus >= 0) element.querySelectorAll(FOCUSABLE)[focus]?.focus({ preventScroll: true });
}

/** `dt` and `dd` pairs; a pair is [term, value, note]. */
export function facts(element, pairs) {
  whenChanged(element, pairs, () =>
    pairs.map(([term, value, note]) =>
      h("div", {}, h("dt", {}, term), h("dd", {}, value, note ? h("span", { class: "note" }, note) : null)),
    ),
  );
}
