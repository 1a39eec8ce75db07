// Words as Slack shows them: mrkdwn, rich text, dates, mentions. Nothing is skipped: what is not known shows as such.
import { el, names } from "./dom.js";
import { follow } from "./here.js";

// The common ones; any other keeps its name in colons.
const EMOJI = {
  grey_question: "❔", question: "❓", hourglass_flowing_sand: "⏳", hourglass: "⌛", mag: "🔍", raised_hand: "✋",
  rotating_light: "🚨", white_check_mark: "✅", heavy_check_mark: "✔️", no_entry_sign: "🚫", no_entry: "⛔", x: "❌",
  warning: "⚠️", information_source: "ℹ️", bell: "🔔", eyes: "👀", lock: "🔒", wastebasket: "🗑️", stopwatch: "⏱️",
  leftwards_arrow_with_hook: "↩️", double_vertical_bar: "⏸️", arrow_forward: "▶️", bulb: "💡", zzz: "💤",
  memo: "📝", hammer: "🔨", gear: "⚙️", outbox_tray: "📤", inbox_tray: "📥", clock3: "🕒", heavy_minus_sign: "➖",
};
export const pictured = (text) => text.replace(/:([a-z0-9_]+):/g, (whole, name) => EMOJI[name] ?? whole);
const unescape = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

export function unknown(what, thing) {
  const named = typeof thing === "string" ? thing : thing?.type;
  return el("div", { class: "unknown", role: "alert" }, `This page cannot show ${what} “${named}”.`);
}

// A text object.
export function text(part) {
  if (part?.type === "mrkdwn") return mrkdwn(part.text);
  if (part?.type === "plain_text") return el("div", { class: "text" }, plain(part));
  return unknown("the text", part);
}

export const plain = (part) => (part.emoji === false ? part.text : pictured(part.text));

// mrkdwn

const TOKENS = /`([^`\n]+)`|<([^<>\n]+)>|(?<![\w*])\*(\S(?:[^*\n]*\S)?)\*(?![\w*])|(?<![\w_])_(\S(?:[^_\n]*\S)?)_(?![\w_])|(?<![\w~])~(\S(?:[^~\n]*\S)?)~(?![\w~])/g;

function inline(words) {
  const nodes = [];
  let last = 0;
  for (const found of words.matchAll(TOKENS)) {
    nodes.push(pictured(unescape(words.slice(last, found.index))));
    nodes.push(token(found));
    last = found.index + found[0].length;
  }
  nodes.push(pictured(unescape(words.slice(last))));
  return nodes.filter((node) => node !== "");
}

function token([, code, special, bold, italic, strike]) {
  if (code !== undefined) return el("code", {}, unescape(code));
  if (bold !== undefined) return el("b", {}, ...inline(bold));
  if (italic !== undefined) return el("i", {}, ...inline(italic));
  if (strike !== undefined) return el("s", {}, ...inline(strike));
  return mention(special);
}

const called = (words, loud = false) => el("span", { class: loud ? "mention loud" : "mention" }, words);

function mention(special) {
  const [target, shown] = special.split("|");
  if (/^[@#]/.test(target)) return called(target[0] + names(target.slice(1)));
  if (target.startsWith("!subteam^")) return called(`@${names(target.slice(9))}`);
  if (target.startsWith("!date^")) return date(target, shown);
  if (target.startsWith("!")) return called(`@${target.slice(1)}`, true);
  return link(unescape(target), unescape(shown || target));
}

function link(url, shown) {
  if (!/^(https?|mailto):/.test(url)) return shown;
  const inside = (event) => { if (follow(url)) event.preventDefault(); };
  return el("a", { href: url, target: "_blank", rel: "noopener noreferrer", onclick: inside }, shown);
}

function date(target, fallback) {
  const [, seconds, format] = target.split("^");
  const moment = new Date(Number(seconds) * 1000);
  if (!format || Number.isNaN(moment.getTime())) return unescape(fallback || "");
  const words = (options) => moment.toLocaleString([], options);
  const clock = { hour: "numeric", minute: "2-digit" };
  const long = { year: "numeric", month: "long", day: "numeric" };
  const short = { year: "numeric", month: "short", day: "numeric" };
  const shown = format
    .replace("{date_num}", words({ year: "numeric", month: "2-digit", day: "2-digit" }))
    .replace(/\{date_short(_pretty)?\}/, words(short))
    .replace(/\{date_long(_pretty)?\}/, words({ ...long, weekday: "long" }))
    .replace(/\{date(_pretty)?\}/, words(long))
    .replace("{time_secs}", words({ ...clock, second: "2-digit" }))
    .replace("{time}", words(clock))
    .replace("{ago}", words({ ...short, ...clock }));
  return el("time", { title: moment.toString() }, unescape(shown));
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

// rich_text

export function rich(part) {
  const inside = () => (part.elements || []).map(rich);
  switch (part.type) {
    case "rich_text_section": return el("div", {}, ...inside());
    case "rich_text_quote": return el("blockquote", {}, ...inside());
    case "rich_text_preformatted": return el("pre", {}, ...inside());
    case "rich_text_list":
      return el(part.style === "ordered" ? "ol" : "ul", {}, ...inside().map((each) => el("li", {}, each)));
    case "text": return styled(part.text, part.style || {});
    case "link": return link(part.url, part.text || part.url);
    case "user": return called(`@${names(part.user_id)}`);
    case "usergroup": return called(`@${names(part.usergroup_id)}`);
    case "channel": return called(`#${names(part.channel_id)}`);
    case "emoji": return EMOJI[part.name] ?? `:${part.name}:`;
    case "date": return date(`!date^${part.timestamp}^${part.format}`, part.fallback);
    default: return unknown("the text", part);
  }
}

function styled(words, style) {
  const tag = style.code ? "code" : style.bold ? "b" : style.italic ? "i" : style.strike ? "s" : "span";
  return el(tag, {}, words);
}
