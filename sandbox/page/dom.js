// Nodes made by hand: nothing that anybody typed is ever parsed as HTML.

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// Draw a list anew without touching what is as it was: focus, selections and open menus stay.
// An item is {key, print, make}: what it is, what it looks like, and how to make it.
export function fill(box, items) {
  const before = new Map([...box.children].map((node) => [node.drawnAs, node]));
  const held = document.activeElement?.dataset?.focus;
  const inside = box.contains(document.activeElement);
  const nodes = items.map(({ key, print, make }) => {
    const drawnAs = `${key} ${print}`;
    const node = before.get(drawnAs) ?? make();
    node.drawnAs = drawnAs;
    return node;
  });
  const same = nodes.length === box.children.length && nodes.every((node, n) => node === box.children[n]);
  if (same) return;
  for (const node of [...box.children]) if (!nodes.includes(node)) node.remove();
  nodes.forEach((node, n) => { if (box.children[n] !== node) box.insertBefore(node, box.children[n] ?? null); });
  if (inside && held) box.querySelector(`[data-focus="${CSS.escape(held)}"]`)?.focus();
}

export const time = (ts) =>
  new Date(Number(ts) * 1000).toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });

export const directory = new Map(); // id -> name, of people, groups and channels
export const names = (id) => directory.get(id) || id;

// A square with the first letter; the same colour wherever somebody appears.
export function avatar(id, app = false) {
  const letter = app ? "✓✓" : names(id).slice(0, 1).toUpperCase();
  const colour = app ? "app" : `c${[...id].reduce((sum, c) => sum + c.charCodeAt(0), 0) % 6}`;
  return el("span", { class: `avatar ${colour}`, "aria-hidden": "true", "data-letter": letter });
}
