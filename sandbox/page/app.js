// The workspace as one person sees it. It only talks to /control/.
import { blocks, mrkdwn } from "./blocks.js";
import { directory, el, names } from "./dom.js";

const $ = (id) => document.getElementById(id);
const PLAYABLE = ["U0ALICE", "U0BOB", "U0CAROL", "U0DAN"];
const view = { me: sessionStorage.me || "U0ALICE", place: new URLSearchParams(location.search).get("place") || sessionStorage.place || "C0ORDERS", state: null };
const seen = {}; // "person channel" -> the newest thing they have looked at
let shownModal = "";

async function post(what, body = {}) {
  const answer = await fetch(`/control/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ as: view.me, ...body }),
  });
  const found = await answer.json().catch(() => ({ ok: false, error: `HTTP ${answer.status}` }));
  if (!found.ok && found.error) toast(`That did not work: ${found.error}`);
  return found;
}

let toastTimer;
function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, 6000);
}

// Drawing

async function refresh() {
  const me = view.me;
  const answer = await fetch(`/control/state?as=${encodeURIComponent(me)}`);
  if (!answer.ok || me !== view.me) return;
  view.state = await answer.json();
  for (const known of [view.state.people, view.state.groups, view.state.channel_names]) {
    for (const [id, name] of Object.entries(known)) directory.set(id, name);
  }
  if (view.place !== "home" && !current()) view.place = view.state.channels[0].id;
  draw();
}

const current = () => view.state.channels.find((channel) => channel.id === view.place);
const titleOf = (channel) => (channel.dm ? view.state.bot : `# ${channel.name}`);
const newest = (channel) =>
  channel.messages.flatMap((m) => [m, ...m.thread]).reduce((ts, m) => (m.ts > ts ? m.ts : ts), "");

function draw() {
  sessionStorage.me = view.me;
  sessionStorage.place = view.place;
  $("people").replaceChildren(...PLAYABLE.map((id) =>
    el("button", { "aria-pressed": String(id === view.me), onclick: () => become(id) }, names(id))));
  drawPlaces();
  drawMessages();
  drawComposer();
  drawModal();
  drawProblems();
}

function drawPlaces() {
  const items = view.state.channels.map((channel) => {
    const key = `${view.me} ${channel.id}`;
    if (channel.id === view.place || !(key in seen)) seen[key] = newest(channel);
    const unread = newest(channel) > seen[key];
    return place(channel.id, titleOf(channel), channel.dm ? "DM" : "", unread);
  });
  if (view.state.home_tab) items.push(place("home", `${view.state.bot} Home`, "", false));
  $("places").replaceChildren(...items);
}

function place(id, title, note, unread) {
  const marks = { "aria-current": id === view.place ? "page" : null, class: unread ? "unread" : "" };
  return el("button", { ...marks, onclick: () => go(id) }, title, note ? el("small", {}, ` ${note}`) : null);
}

function drawMessages() {
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  if (view.place === "home") {
    $("place").textContent = `${view.state.bot} Home`;
    list.replaceChildren(home());
    return;
  }
  const channel = current();
  $("place").textContent = titleOf(channel) + (channel.archived ? " (archived)" : "");
  const shown = channel.messages.map((m) => message(channel, m));
  const hint = `Nothing here yet. Try ${view.state.commands[0] || "a message"} below, or pick an order.`;
  list.replaceChildren(...(shown.length ? shown : [el("p", { class: "quiet" }, hint)]));
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function message(channel, m) {
  const replies = m.thread.filter((r) => !r.deleted).map((r) => message(channel, { ...r, thread: [] }));
  if (m.deleted) return el("article", {}, el("em", { class: "quiet" }, "This message was deleted."), thread(replies));
  const press = (block, element, value) =>
    post("click", { channel: channel.id, ts: m.ts, block: block.block_id, action: element.action_id, value });
  const body = m.blocks.length ? blocks(m.blocks, { press, confirm }) : mrkdwn(m.text);
  const when = new Date(Number(m.ts) * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const head = el("div", { class: "head" },
    el("b", {}, names(m.user)),
    names(m.user) === view.state.bot ? el("span", { class: "app" }, "APP") : null,
    el("time", {}, when),
    m.only_you ? el("span", { class: "only" }, "Only visible to you") : null,
    m.edited && !m.blocks.length ? el("span", { class: "quiet" }, "(edited)") : null,
    m.only_you ? null : messageShortcuts(channel, m));
  const reactions = Object.entries(m.reactions).map(([name, n]) => el("span", { class: "app" }, `:${name}: ${n}`));
  const kind = m.only_you ? "ephemeral" : "";
  return el("article", { class: kind }, head, el("div", { class: "body" }, body, ...reactions), thread(replies));
}

function thread(replies) {
  return replies.length ? el("div", { class: "thread" }, ...replies) : null;
}

function messageShortcuts(channel, m) {
  const offered = view.state.shortcuts.filter((s) => s.kind === "message");
  return el("span", { class: "shortcuts" }, ...offered.map((s) =>
    el("button", { class: "link", onclick: () => post("shortcut", { callback_id: s.id, channel: channel.id, ts: m.ts }) },
      s.name)));
}

function home() {
  const shown = view.state.home;
  if (!shown) return el("p", { class: "quiet" }, "The app has not put anything here yet.");
  const press = (block, element) =>
    post("view", { view: shown.id, block: block.block_id, action: element.action_id });
  return el("article", { class: "home" }, blocks(shown.content.blocks, { press, confirm }));
}

function drawComposer() {
  const offered = view.state.shortcuts.filter((s) => s.kind === "global");
  $("composer").hidden = view.place === "home";
  $("line").placeholder = `Message, or ${view.state.commands.join(", ")}`;
  $("shortcuts").replaceChildren(...offered.map((s) =>
    el("button", { type: "button", class: "link", onclick: () => post("shortcut", { callback_id: s.id }) }, `⚡ ${s.name}`)));
}

function drawProblems() {
  $("problems").hidden = view.state.problems.length === 0;
  $("problems").querySelector("ul").replaceChildren(...view.state.problems.map((text) => el("li", {}, text)));
}

// Modals. What was typed survives a redraw; the bot may redraw at any time.

function drawModal() {
  const modal = view.state.modal;
  const box = $("modal");
  if (!modal) {
    shownModal = "";
    if (box.open) box.close();
    return;
  }
  const version = `${view.me} ${modal.id} ${modal.hash} ${JSON.stringify(modal.errors)}`;
  if (version === shownModal) return;
  const drafts = shownModal.startsWith(`${view.me} ${modal.id} `) ? typed() : {};
  shownModal = version;
  box.replaceChildren(form(modal, drafts));
  if (!box.open) box.showModal();
  if (!Object.keys(drafts).length) box.querySelector("input, select, textarea")?.focus();
}

function form(modal, drafts) {
  const { content } = modal;
  const press = (block, element) => send("view", { block: block.block_id, action: element.action_id });
  const choose = (block, element, value) =>
    send("choose", { block: block.block_id, action: element.action_id, value });
  const send = (what, more) => post(what, { view: modal.id, values: typed(), ...more });
  const submit = async (event) => {
    event.preventDefault();
    const button = event.target.querySelector("[type=submit]");
    button.disabled = true;
    await send("submit", {});
    button.disabled = false;
    await refresh();
  };
  const close = () => post("close", { view: modal.id });
  const inside = { press, confirm, choose, drafts, values: modal.values, errors: modal.errors };
  return el("form", { onsubmit: submit, novalidate: true },
    el("h2", {}, content.title.text),
    el("div", { class: "fields" }, blocks(content.blocks, inside)),
    el("div", { class: "buttons" },
      el("button", { type: "button", onclick: close }, content.close?.text || "Cancel"),
      content.submit ? el("button", { type: "submit", class: "primary" }, content.submit.text) : null));
}

function typed() {
  const values = {};
  for (const input of $("modal").querySelectorAll("[data-key]")) values[input.dataset.key] = input.value || null;
  return values;
}

$("modal").addEventListener("cancel", (event) => {
  event.preventDefault();
  if (view.state.modal) post("close", { view: view.state.modal.id });
});

// A confirm dialog, as a button asks for it. Resolves to whether it was confirmed.
function confirm(asked) {
  const box = $("confirm");
  return new Promise((resolve) => {
    const done = (answer) => { box.close(); resolve(answer); };
    const style = asked.style === "danger" ? "danger" : "primary";
    box.replaceChildren(
      el("h2", {}, asked.title?.text || "Are you sure?"),
      el("p", {}, asked.text.type === "mrkdwn" ? mrkdwn(asked.text.text) : asked.text.text),
      el("div", { class: "buttons" },
        el("button", { onclick: () => done(false) }, asked.deny?.text || "Cancel"),
        el("button", { class: style, onclick: () => done(true) }, asked.confirm?.text || "Yes")));
    box.oncancel = () => resolve(false);
    box.showModal();
  });
}

// Doing

async function go(id) {
  view.place = id;
  draw();
  $("messages").scrollTop = $("messages").scrollHeight;
  if (id === "home") await post("home");
}

async function become(id) {
  view.me = id;
  shownModal = "";
  $("modal").close();
  await refresh();
  if (view.place === "home") await post("home");
}

$("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const line = $("line").value.trim();
  if (!line) return;
  $("line").value = "";
  const [command, ...rest] = line.split(" ");
  const answer = command.startsWith("/")
    ? await post("command", { channel: view.place, command, text: rest.join(" ") })
    : await post("say", { channel: view.place, text: line });
  if (!answer.ok) $("line").value = line;
});

let shownVendors = "";
async function drawVendors() {
  const answer = await fetch("/control/vendors").catch(() => null);
  const found = answer?.ok ? await answer.text() : shownVendors;
  if (found === shownVendors) return;
  shownVendors = found;
  const vendors = JSON.parse(found);
  $("orders").hidden = vendors.length === 0;
  const labels = [...$("vendors").querySelectorAll("details[open] summary")].map((s) => s.innerText);
  const opened = new Set($("vendors").children.length ? labels : [vendors[0]?.label]);
  $("vendors").replaceChildren(...vendors.map((vendor) =>
    el("details", { open: opened.has(vendor.label) },
      el("summary", {}, vendor.label),
      el("ul", {}, ...vendor.orders.map((order) => el("li", {},
        el("button", { class: "order", onclick: () => pick(vendor, order) }, order.reference),
        el("span", { class: "state" }, order.state),
        el("div", { class: "quiet" }, order.what)))))));
}

function pick(vendor, order) {
  if (view.place === "home") go("C0ORDERS");
  const name = vendor.name || vendor.label.split(" ")[0].toLowerCase();
  $("line").value = `${view.state.commands[0]} ${name} ${order.reference} `;
  $("line").focus();
}

// Live

let due = null;
function soon() {
  due ??= setTimeout(() => { due = null; refresh(); }, 30); // changes come in bursts
}

await refresh();
await drawVendors();
const changes = new EventSource("/control/changes");
changes.onmessage = () => { soon(); };
changes.onerror = () => { toast("The sandbox does not answer. Is it still running?"); };
setInterval(drawVendors, 5000);
