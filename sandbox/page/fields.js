// What can be filled in. What was typed is found by its key, "block_id/action_id".
import { el } from "./dom.js";
import { plain, unknown } from "./text.js";

const keyOf = (block, e) => `${block.block_id}/${e.action_id}`;

function valueOf(block, e, use) {
  const key = keyOf(block, e);
  if (use.drafts && key in use.drafts) return use.drafts[key] ?? "";
  const value = use.values?.[block.block_id]?.[e.action_id] || {};
  return value.value ?? value.selected_option?.value ?? "";
}

export function select(block, e, use, chosen, about = {}) {
  const now = valueOf(block, e, use) || (use.values ? "" : e.initial_option?.value) || "";
  const option = (o) => el("option", { value: o.value, selected: o.value === now }, plain(o.text));
  const groups = (e.option_groups || []).map((g) =>
    el("optgroup", { label: plain(g.label) }, ...g.options.map(option)));
  const change = (event) => { if (event.target.value) chosen?.(event.target.value); };
  const empty = e.placeholder ? plain(e.placeholder) : "Choose an option";
  const named = about.id ? about : { "aria-label": empty };
  return el("select", { "data-key": keyOf(block, e), ...named, onchange: change },
    el("option", { value: "" }, empty), ...(e.options || []).map(option), ...groups);
}

export function field(block, e, use, about) {
  if (e.type === "static_select") {
    const live = block.dispatch_action && use.choose;
    return select(block, e, use, live ? (value) => use.choose(block, e, value) : null, about);
  }
  if (e.type === "radio_buttons") return radios(block, e, use, about);
  if (e.type !== "plain_text_input") return unknown("the input", e);
  const attributes = { "data-key": keyOf(block, e), placeholder: e.placeholder && plain(e.placeholder), ...about };
  attributes.maxlength = e.max_length || 3000;
  if (e.multiline) return el("textarea", { ...attributes, rows: 3 }, valueOf(block, e, use));
  return el("input", { ...attributes, value: valueOf(block, e, use), autocomplete: "off" });
}

function radios(block, e, use, about) {
  const now = valueOf(block, e, use);
  const live = block.dispatch_action && use.choose;
  const option = (o, n) => el("label", { class: "toggle" },
    el("input", { type: "radio", name: block.block_id, value: o.value, checked: o.value === now, "data-key": keyOf(block, e),
      id: n ? null : about.id, onchange: () => live && use.choose(block, e, o.value) }),
    el("span", {}, plain(o.text), o.description && el("small", {}, plain(o.description))));
  return el("div", { role: "radiogroup", "aria-label": plain(block.label), "aria-describedby": about["aria-describedby"], "aria-invalid": about["aria-invalid"] },
    ...e.options.map(option));
}

// Everything that is filled in inside this box.
export function typed(box) {
  const values = {};
  for (const input of box.querySelectorAll("[data-key]")) {
    const left = input.type === "radio" && !input.checked;
    values[input.dataset.key] = left ? values[input.dataset.key] ?? null : input.value || null;
  }
  return values;
}
