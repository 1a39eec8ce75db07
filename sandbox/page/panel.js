// Behind the scenes: the pretend providers, Slack's bad days, people, and what went over the wire.
import { write } from "./composer.js";
import { $, el, fill } from "./dom.js";
import { change, here } from "./here.js";
import { get, post } from "./server.js";
import { drawWire } from "./inspector.js";

const TABS = ["vendors", "slack", "people", "wire"];
const known = { vendors: [], slack: null };

export async function refreshPanel() {
  if (!here.panel) return;
  if (here.panel === "wire") return drawWire();
  const path = here.panel === "vendors" ? "vendors" : "slack";
  const found = await get(`/backstage/${path}`);
  known[path] = found ?? known[path];
  drawPanel();
}

export function drawPanel() {
  document.body.classList.toggle("with-panel", Boolean(here.panel));
  $("backstage").setAttribute("aria-pressed", String(Boolean(here.panel)));
  $("problems").hidden = here.state.problems.length === 0;
  $("problem-list").replaceChildren(...here.state.problems.map((words) => el("li", {}, words)));
  for (const name of TABS) {
    const chosen = here.panel === name;
    $(`show-${name}`).setAttribute("aria-selected", String(chosen));
    $(`show-${name}`).tabIndex = chosen ? 0 : -1;
    $(name === "people" ? "accounts" : name).hidden = !chosen; // "people" are those at the top
  }
  if (here.panel === "vendors") drawVendors();
  if (here.panel === "slack" && known.slack) drawSlack(known.slack);
  if (here.panel === "people" && known.slack) drawAccounts(known.slack);
}

export const show = (name) => { change({ panel: name }); refreshPanel(); };

for (const name of TABS) $(`show-${name}`).addEventListener("click", () => show(name));
$("panel-tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const next = TABS[(TABS.indexOf(here.panel) + step + TABS.length) % TABS.length];
  show(next);
  $(`show-${next}`).focus();
});
$("backstage").addEventListener("click", () => show(here.panel ? "" : "vendors"));
$("panel-close").addEventListener("click", () => show(""));

const small = (label, onclick, more = {}) => el("button", { type: "button", class: "small", onclick, ...more }, label);

function planned(list, clear) {
  return list.length > 0 && el("p", { class: "planned", role: "status" }, `Next: ${list.join(", then ")} `, small("Never mind", clear));
}

// Vendors

function drawVendors() {
  fill($("vendors"), known.vendors.map((vendor, n) => ({
    key: vendor.name, print: JSON.stringify(vendor), make: () => card(vendor, n === 0),
  })));
}

const opened = new Set(JSON.parse(sessionStorage.opened || "[]"));

function card(vendor, isFirst) {
  const act = (what, more) => post("/backstage/vendors", { vendor: vendor.name, do: what, ...more });
  const remember = (event) => {
    opened[event.target.open ? "add" : "delete"](vendor.name);
    sessionStorage.opened = JSON.stringify([...opened]);
  };
  const isOpen = opened.has(vendor.name) || (isFirst && !sessionStorage.opened);
  return el("details", { open: isOpen, ontoggle: remember, "data-vendor": vendor.name },
    el("summary", {}, el("b", {}, vendor.label), vendor.planned.length > 0 && el("span", { class: "tag warn" }, vendor.planned[0]),
      vendor.hanging > 0 && el("span", { class: "tag warn" }, "a call hangs")),
    el("p", { class: "label" }, "The next cancel"),
    el("div", { class: "row" }, ...vendor.faults.map((fault) =>
      small(fault.label, () => act("fail", { fault: fault.id }), { title: fault.says, "data-focus": vendor.name + fault.id }))),
    planned(vendor.planned, () => act("clear")),
    vendor.hanging > 0 && el("p", { class: "planned" }, `${vendor.hanging} held back `, small("Let it go on", () => act("release"))),
    el("p", { class: "label" }, "Orders"),
    el("ul", { class: "orders" }, ...vendor.orders.map((order) => orderRow(vendor, order, act))));
}

function orderRow(vendor, order, act) {
  const command = `${here.state.commands[0]} ${vendor.name} ${order.reference} `;
  const counted = order.received > 0 && `cancels received: ${order.received}, carried out: ${order.performed}`;
  return el("li", {},
    el("button", { class: "order", title: "Write the command", onclick: () => write(command) }, order.reference),
    order.state && el("span", { class: "state" }, order.state),
    el("small", {}, order.what),
    counted && el("small", { class: "counted" }, counted),
    order.email && small("Approve the e-mail", () => act("approve_email", { order: order.reference })));
}

// Slack

const asSlack = (what, more = {}) => post("/backstage/slack", { do: what, ...more });

function toggle(label, on, act, about = "") {
  const change_ = (event) => act(event.target.checked);
  return el("label", { class: "toggle" }, el("input", { type: "checkbox", checked: on, onchange: change_ }),
    el("span", {}, label, about && el("small", {}, about)));
}

function drawSlack(slack) {
  const make = () => el("div", {},
    el("p", { class: "label" }, "The bot's next call to Slack"),
    el("div", { class: "row" }, ...slack.faults.map((fault) =>
      small(fault.label, () => asSlack("fail", { fault: fault.id }), { title: fault.says, "data-focus": fault.id }))),
    planned(slack.planned, () => asSlack("clear")),
    el("p", { class: "label" }, "Until you say otherwise"),
    toggle("Outage", slack.outage, (on) => asSlack("outage", { on }), "every call of the bot fails"),
    toggle("Rate limits", slack.rate_limits, (on) => asSlack("rate_limits", { on }), "one message a second in a channel"),
    el("p", { class: "label" }, "The connection"),
    el("p", { class: "quiet" }, slack.by_http ? "The bot is called by HTTP." : `${slack.connections} open`),
    el("div", { class: "row" }, small("Ask the bot to reconnect", () => asSlack("reconnect")), small("Break it", () => asSlack("break"))));
  fill($("slack"), [{ key: "slack", print: JSON.stringify({ ...slack, people: 0 }), make }]);
}

// People

const asAdmin = (what, more) => post("/backstage/people", { do: what, ...more });

function drawAccounts(slack) {
  const people = slack.people.map((each) => ({ key: each.id, print: JSON.stringify(each), make: () => account(each) }));
  const channels = slack.channels.map((each) => ({ key: each.id, print: JSON.stringify(each), make: () => room(each) }));
  fill($("people-list"), people);
  fill($("room-list"), channels);
}

function account(person) {
  const groups = Object.entries(person.groups).map(([group, on]) =>
    toggle("on call", on, (now) => asAdmin("group", { group, user: person.id, on: now })));
  return el("li", { "data-person": person.id }, el("b", {}, person.name), ...groups,
    toggle("active", !person.deleted, (on) => asAdmin("account", { user: person.id, on })));
}

function room(place) {
  return el("li", {}, el("b", {}, `# ${place.name}`),
    toggle("bot is in it", place.has_bot, (on) => asAdmin("bot_in", { channel: place.id, on })),
    place.archived ? el("span", { class: "tag" }, "archived") : small("Archive", () => asAdmin("archive", { channel: place.id })));
}
