// Block Kit as nodes, strictly: a block, an element or a property that is not known here shows as an error.
// `use` says what pressing does: press(block, element, value), confirm(asked); in a form also
// choose(block, element, value), drafts, values, errors.
import { el } from "./dom.js";
import { field, select } from "./fields.js";
import { plain, rich, text, unknown } from "./text.js";

const KNOWN = {
  header: "text", divider: "", section: "text fields accessory", context: "elements", actions: "elements",
  input: "label element hint optional dispatch_action", rich_text: "elements", alert: "text level",
  button: "text value style url confirm accessibility_label",
  radio_buttons: "options initial_option",
  static_select: "options option_groups initial_option placeholder confirm",
  plain_text_input: "multiline min_length max_length placeholder initial_value focus_on_load",
};

function strange(thing) {
  if (!(thing?.type in KNOWN)) return [];
  const known = new Set(["type", "block_id", "action_id", ...KNOWN[thing.type].split(" ")]);
  return Object.keys(thing).filter((key) => !known.has(key)).map((key) => `${thing.type}.${key}`);
}

export function blocks(list, use) {
  const box = el("div", { class: "blocks" });
  for (const block of list) {
    const odd = [block, block.element, block.accessory, ...(block.elements || [])].flatMap(strange);
    box.append(one(block, use), ...odd.map((name) => unknown("the property", name)));
  }
  return box;
}

function one(block, use) {
  switch (block.type) {
    case "header": return el("h3", {}, plain(block.text));
    case "divider": return el("hr");
    case "section": return section(block, use);
    case "context": return el("div", { class: "context" }, ...block.elements.map((each) =>
      ["mrkdwn", "plain_text"].includes(each.type) ? text(each) : unknown("the element", each)));
    case "actions": return el("div", { class: "actions" }, ...block.elements.map((each) => element(block, each, use)));
    case "input": return input(block, use);
    case "rich_text": return el("div", { class: "text" }, ...block.elements.map(rich));
    case "alert": return el("div", { class: `notice ${block.level || "default"}`, role: "note" }, text(block.text));
    default: return unknown("the block", block);
  }
}

function section(block, use) {
  const fields = (block.fields || []).map((each) => el("div", {}, text(each)));
  return el("div", { class: "section" },
    el("div", {}, block.text && text(block.text), fields.length > 0 && el("div", { class: "grid" }, ...fields)),
    block.accessory && element(block, block.accessory, use));
}

function element(block, e, use) {
  if (e.type === "button") return button(block, e, use);
  if (e.type === "static_select") return select(block, e, use, (value) => (use.choose || use.press)(block, e, value));
  return unknown("the element", e);
}

function button(block, e, use) {
  const press = async (event) => {
    const pressed = event.currentTarget;
    if (e.confirm && !(await use.confirm(e.confirm))) return;
    if (e.url) open(e.url, "_blank", "noopener");
    pressed.disabled = true;
    pressed.setAttribute("aria-busy", "true");
    await use.press(block, e);
    pressed.disabled = false;
    pressed.removeAttribute("aria-busy");
  };
  const about = { "aria-label": e.accessibility_label, "data-focus": `${block.block_id}/${e.action_id}` };
  return el("button", { type: "button", class: e.style || "", ...about, onclick: press }, plain(e.text));
}

function input(block, use) {
  const wrong = use.errors?.[block.block_id];
  const about = `${block.block_id}-about`;
  return el("div", { class: wrong ? "input wrong" : "input" },
    el("label", { for: block.block_id }, plain(block.label), block.optional && el("small", {}, " (optional)")),
    field(block, block.element, use, { id: block.block_id, "aria-describedby": about, "aria-invalid": wrong && "true" }),
    el("div", { id: about },
      wrong && el("span", { class: "error", role: "alert" }, wrong),
      block.hint && el("small", {}, plain(block.hint))));
}
