// Making elements. Text from outside becomes text nodes only; no attribute is ever made of it.

const PROPERTIES = new Set(["checked", "disabled", "hidden", "required", "value", "type", "name", "rows", "open"]);

export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

export function show(place, ...children) {
  place.replaceChildren(...children.filter(Boolean));
}

let numbers = 0;

export function freshId() {
  numbers += 1;
  return `f${numbers}`;
}

export function say(text) {
  document.getElementById("said").textContent = text;
}
