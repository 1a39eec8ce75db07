// Block Kit and mrkdwn as nodes. Only what is known is drawn; anything else shows as an error, never as nothing.
import { el, names } from "./dom.js";

// The common ones; any other keeps its name in colons.
const EMOJI = {
  grey_question: "❔", question: "❓", hourglass_flowing_sand: "⏳", hourglass: "⌛", mag: "🔍", raised_hand: "✋",
  rotating_light: "🚨", white_check_mark: "✅", heavy_check_mark: "✔️", no_entry_sign: "🚫", no_entry: "⛔", x: "❌",
  warning: "⚠️", information_source: "ℹ️", bell: "🔔", eyes: "👀", lock: "🔒", wastebasket: "🗑️", stopwatch: "⏱️",
  leftwards_arrow_with_hook: "↩️", double_vertical_bar: "⏸️", arrow_forward: "▶️", bulb: "💡", zzz: "💤",
};
const pictured = (text) => text.replace(/:([a-z_]+):/g, (whole, name) => EMOJI[name] ?? whole);
const unescape = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

export function unknown(what, thing) {
  return el("div", { class: "unknown", role: "alert" }, `This page cannot show ${what} “${thing?.type}”.`);
}

// mrkdwn

const TOKENS = /`([^`\n]+)`|<([^<>\n]+)>|(?<![\w*])\*(\S(?:[^*\n]*\S)?)\*(?![\w*])|(?<![\w_])_(\S(?:[^_\n]*\S)?)_(?![\w_])|(?<![\w~])~(\S(?:[^~\n]*\S)?)~(?![\w~])/g;

function inline(text) {
  const nodes = [];
  let last = 0;
  for (const found of text.matchAll(TOKENS)) {
    nodes.push(pictured(unescape(text.slice(last, found.index))));
    nodes.push(token(found));
    last = found.index + found[0].length;
  }
  nodes.push(pictured(unescape(text.slice(last))));
  return nodes.filter((node) => node !== "");
}

function token([, code, special, bold, italic, strike]) {
  if (code !== undefined) return el("code", {}, unescape(code));
  if (bold !== undefined) return el("b", {}, ...inline(bold));
  if (italic !== undefined) return el("i", {}, ...inline(italic));
  if (strike !== undefined) return el("s", {}, ...inline(strike));
  return mention(special);
}

function mention(special) {
  const [target, shown] = special.split("|");
  if (/^[@#]/.test(target)) return el("span", { class: "mention" }, target[0] + names(target.slice(1)));
  if (target.startsWith("!subteam^")) return el("span", { class: "mention" }, `@${names(target.slice(9))}`);
  if (target.startsWith("!date^")) return date(target, shown);
  if (target.startsWith("!")) return el("span", { class: "mention loud" }, `@${target.slice(1)}`);
  return link(unescape(target), unescape(shown || target));
}

function link(url, text) {
  if (!/^(https?|mailto):/.test(url)) return text;
  return el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, text);
}

function date(target, fallback) {
  const [, seconds, format] = target.split("^");
  const moment = new Date(Number(seconds) * 1000);
  if (!format || Number.isNaN(moment.getTime())) return unescape(fallback || "");
  const words = (options) => moment.toLocaleString([], options);
  const time = { hour: "2-digit", minute: "2-digit" };
  const long = { year: "numeric", month: "long", day: "numeric" };
  const short = { year: "numeric", month: "short", day: "numeric" };
  const text = format
    .replace("{date_num}", words({ year: "numeric", month: "2-digit", day: "2-digit" }))
    .replace(/\{date_short(_pretty)?\}/, words(short))
    .replace(/\{date_long(_pretty)?\}/, words({ ...long, weekday: "long" }))
    .replace(/\{date(_pretty)?\}/, words(long))
    .replace("{time_secs}", words({ ...time, second: "2-digit" }))
    .replace("{time}", words(time))
    .replace("{ago}", words({ ...short, ...time }));
  return el("time", { title: moment.toString() }, unescape(text));
}

function lines(words) {
  const nodes = [];
  let quote = null;
  for (const line of words.split("\n")) {
    const quoted = /^(?:&gt;|>) ?(.*)$/.exec(line);
    if (quoted && !quote) nodes.push((quote = el("blockquote")));
    if (quoted) quote.append(...inline(quoted[1]), "\n");
    else nodes.push(...inline(line), "\n");
    if (!quoted) quote = null;
  }
  if (nodes.at(-1) === "\n") nodes.pop();
  return nodes;
}

export function mrkdwn(words) {
  const parts = words.split(/```([\s\S]+?)```/); // every second one was fenced
  const nodes = parts.flatMap((part, n) => (n % 2 ? [el("pre", {}, unescape(part.replace(/^\n/, "")))] : lines(part)));
  return el("div", { class: "text" }, ...nodes);
}

function text(part) {
  return part.type === "mrkdwn" ? mrkdwn(part.text) : el("div", { class: "text" }, pictured(part.text));
}

// Blocks. `use` says what pressing does: press(block, element, value), confirm(asked), and in a modal
// choose(block, element, value), drafts, values, errors.

export function blocks(list, use) {
  const box = el("div", { class: "blocks" });
  for (const block of list) box.append(one(block, use));
  return box;
}

function one(block, use) {
  switch (block.type) {
    case "header": return el("h3", {}, pictured(block.text.text));
    case "divider": return el("hr");
    case "section": return section(block, use);
    case "context": return el("div", { class: "context" }, ...block.elements.map((e) =>
      ["mrkdwn", "plain_text"].includes(e.type) ? text(e) : unknown("the element", e)));
    case "actions": return el("div", { class: "actions" }, ...block.elements.map((e) => element(block, e, use)));
    case "input": return input(block, use);
    case "rich_text": return el("div", { class: "text" }, ...block.elements.map(rich));
    case "alert": return el("div", { class: "notice" }, text(block.text));
    default: return unknown("the block", block);
  }
}

function section(block, use) {
  const fields = (block.fields || []).map((field) => el("div", {}, text(field)));
  return el("div", { class: "section" },
    el("div", {}, block.text ? text(block.text) : null, fields.length ? el("div", { class: "grid" }, ...fields) : null),
    block.accessory ? element(block, block.accessory, use) : null);
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
    pressed.disabled = true;
    await use.press(block, e);
    pressed.disabled = false;
  };
  const label = e.accessibility_label || null;
  return el("button", { type: "button", class: e.style || "", "aria-label": label, onclick: press }, e.text.text);
}

const keyOf = (block, e) => `${block.block_id}/${e.action_id}`;

function state(block, e, use) {
  const key = keyOf(block, e);
  if (use.drafts && key in use.drafts) return use.drafts[key] ?? "";
  const value = use.values?.[block.block_id]?.[e.action_id] || {};
  return value.value ?? value.selected_option?.value ?? "";
}

function select(block, e, use, chosen) {
  const now = state(block, e, use) || e.initial_option?.value || "";
  const option = (o) => el("option", { value: o.value, selected: o.value === now }, o.text.text);
  const groups = (e.option_groups || []).map((g) =>
    el("optgroup", { label: g.label.text }, ...g.options.map(option)));
  const change = (event) => { if (event.target.value) chosen?.(event.target.value); };
  return el("select", { "data-key": keyOf(block, e), "aria-label": e.placeholder?.text, onchange: change },
    el("option", { value: "" }, e.placeholder?.text || "Choose an option"),
    ...(e.options || []).map(option), ...groups);
}

function field(block, e, use) {
  if (e.type === "static_select") {
    const live = block.dispatch_action && use.choose;
    return select(block, e, use, live ? (value) => use.choose(block, e, value) : null);
  }
  if (e.type !== "plain_text_input") return unknown("the input", e);
  const attributes = { "data-key": keyOf(block, e), placeholder: e.placeholder?.text, maxlength: e.max_length || 3000 };
  if (!e.multiline) return el("input", { ...attributes, value: state(block, e, use) });
  return el("textarea", { ...attributes, rows: 3 }, state(block, e, use));
}

function input(block, use) {
  const wrong = use.errors?.[block.block_id];
  return el("label", { class: wrong ? "input wrong" : "input" },
    el("span", {}, block.label.text, block.optional ? el("small", {}, " (optional)") : null),
    field(block, block.element, use),
    wrong ? el("span", { class: "error", role: "alert" }, wrong) : null,
    block.hint ? el("small", {}, block.hint.text) : null);
}

// rich_text, as far as it is needed

function rich(part) {
  const inside = () => (part.elements || []).map(rich);
  switch (part.type) {
    case "rich_text_section": return el("div", {}, ...inside());
    case "rich_text_quote": return el("blockquote", {}, ...inside());
    case "rich_text_preformatted": return el("pre", {}, ...inside());
    case "rich_text_list": return el(part.style === "ordered" ? "ol" : "ul", {}, ...(part.elements || []).map((e) => el("li", {}, rich(e))));
    case "text": return styled(part.text, part.style || {});
    case "link": return link(part.url, part.text || part.url);
    case "user": return el("span", { class: "mention" }, `@${names(part.user_id)}`);
    case "usergroup": return el("span", { class: "mention" }, `@${names(part.usergroup_id)}`);
    case "channel": return el("span", { class: "mention" }, `#${names(part.channel_id)}`);
    case "date": return date(`!date^${part.timestamp}^${part.format}`, part.fallback);
    default: return unknown("the text", part);
  }
}

function styled(words, style) {
  const tag = style.code ? "code" : style.bold ? "b" : style.italic ? "i" : style.strike ? "s" : "span";
  return el(tag, {}, words);
}
