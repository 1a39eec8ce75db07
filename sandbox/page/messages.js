// What was said in a channel, and in a thread beside it.
import { blocks } from "./blocks.js";
import { confirm } from "./dialogs.js";
import { $, avatar, el, fill, names, time } from "./dom.js";
import { channel, change, here, newReplies } from "./here.js";
import { post } from "./server.js";
import { mrkdwn } from "./text.js";

export function drawMessages() {
  const place = channel();
  const box = $("messages");
  box.hidden = here.home;
  if (here.home) return;
  const fresh = place.messages.find((m) => m.ts > here.newFrom && m.user !== here.me);
  const items = place.messages.flatMap((m) => [
    ...(m === fresh && here.newFrom ? [mark("new", "New")] : []),
    row(place, m, repliesBar(m)),
  ]);
  const hint = `Nothing here yet. Type ${here.state.commands[0] || "a message"} below, or pick an order.`;
  keepAtEnd(box, `${here.me} ${place.id}`, () => fill(box, items.length ? items : [mark("quiet", hint)]));
}

export function drawThread() {
  const place = channel();
  const top = here.thread && !here.home ? place.messages.find((m) => m.ts === here.thread) : null;
  $("thread").hidden = !top;
  document.body.classList.toggle("in-thread", Boolean(top));
  if (!top) return;
  $("thread-place").textContent = place.dm ? here.state.bot.name : `#${place.name}`;
  const count = top.thread.length;
  const between = mark("count", count === 1 ? "1 reply" : `${count} replies`);
  const items = [row(place, top), ...(count ? [between] : []), ...top.thread.map((reply) => row(place, reply))];
  keepAtEnd($("replies"), `${here.me} ${top.ts}`, () => fill($("replies"), items));
}

// Stay at the newest where the reader was there already, or has just come.
function keepAtEnd(box, what, drawing) {
  const come = box.shows !== what;
  const atEnd = come || box.scrollHeight - box.scrollTop - box.clientHeight < 80;
  box.shows = what;
  drawing();
  if (atEnd) box.scrollTop = box.scrollHeight;
}

const mark = (kind, words) =>
  ({ key: kind, print: words, make: () => el("p", { class: `mark ${kind}` }, el("span", {}, words)) });

function row(place, m, below = null) {
  const print = JSON.stringify([m, names(m.user), below && [m.thread.length, newReplies(m)]]);
  return { key: `${here.me} ${m.ts}`, print, make: () => article(place, m, below) };
}

function article(place, m, below) {
  const press = (block, element, value) => post("/control/click",
    { channel: place.id, ts: m.ts, block: block.block_id, action: element.action_id, value });
  const gone = () => el("em", { class: "quiet" }, "This message was deleted.");
  const body = () => (m.blocks.length ? blocks(m.blocks, { press, confirm }) : mrkdwn(m.text));
  const reactions = Object.entries(m.reactions).map(([name, n]) => el("span", { class: "tag" }, `:${name}: ${n}`));
  return el("article", { class: m.only_you ? "whisper" : "", "data-ts": m.ts, "aria-label": `${names(m.user)}, ${time(m.ts)}` },
    m.only_you && el("div", { class: "only" }, "👁 Only visible to you"),
    avatar(m.user, m.app),
    el("div", { class: "said" },
      el("div", { class: "head" },
        el("b", {}, names(m.user)),
        m.app && el("span", { class: "tag" }, "APP"),
        el("time", {}, time(m.ts)),
        m.edited > 0 && !m.blocks.length && el("span", { class: "quiet" }, "(edited)")),
      m.deleted ? gone() : body(), ...reactions, below),
    m.only_you || m.deleted ? null : menuButton(place, m));
}

function repliesBar(m) {
  const count = m.thread.length;
  if (!count) return null;
  const fresh = newReplies(m);
  const said = `${count} ${count === 1 ? "reply" : "replies"}`;
  return el("button", { class: "replies", "data-focus": `thread ${m.ts}`, onclick: () => change({ thread: m.ts }) },
    avatar(m.thread.at(-1).user, m.thread.at(-1).app), el("b", {}, said),
    fresh > 0 && el("span", { class: "badge" }, `${fresh} new`),
    el("small", {}, `Last reply ${time(m.thread.at(-1).ts)}`));
}

// The menu of a message: its thread, the app's shortcuts, and what an administrator can do.

function menuButton(place, m) {
  const top = place.messages.find((each) => each.ts === m.ts || each.thread.some((r) => r.ts === m.ts)) || m;
  const about = { class: "more", "aria-haspopup": "menu", "aria-label": "More actions", "data-focus": `menu ${m.ts}` };
  return el("button", { ...about, onclick: (event) => openMenu(event.currentTarget, place, m, top) }, "⋯");
}

function openMenu(button, place, m, top) {
  const menu = $("menu");
  const item = (label, act, kind = "") =>
    el("button", { role: "menuitem", class: kind, onclick: () => { menu.hidePopover(); act(); } }, label);
  const offered = here.state.shortcuts.filter((each) => each.kind === "message");
  const at = { channel: place.id, ts: m.ts };
  menu.replaceChildren(
    item("Reply in thread", () => { change({ thread: top.ts }); $("reply").focus(); }),
    ...offered.map((each) => item(each.name, () => post("/control/shortcut", { callback_id: each.id, ...at }))),
    item("Delete, as an administrator", () => post("/backstage/people", { do: "delete", ...at }), "warn"));
  menu.showPopover();
  const { bottom, right } = button.getBoundingClientRect();
  menu.style.top = `${Math.min(bottom + 4, innerHeight - menu.offsetHeight - 8)}px`;
  menu.style.left = `${Math.max(8, right - menu.offsetWidth)}px`;
  menu.querySelector("button").focus();
}

$("menu").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const items = [...$("menu").children];
  items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
});

export function drawHome() {
  $("home").hidden = !here.home;
  if (!here.home) return;
  const shown = here.state.home;
  const press = (block, element, value) =>
    post("/control/view", { view: shown.id, block: block.block_id, action: element.action_id, value });
  const item = shown
    ? { key: "home", print: here.me + shown.hash, make: () => el("article", { class: "home" }, blocks(shown.content.blocks, { press, choose: press, confirm })) }
    : mark("quiet", "The app has not put anything here yet.");
  fill($("home"), [item]);
}
