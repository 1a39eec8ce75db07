// What went over the wire, newest first. The server has masked the secrets already.
import { $, el, fill } from "./dom.js";
import { get } from "./server.js";

const KEPT = 150;
let calls = [];
let shown = "all";

export async function drawWire() {
  const found = await get(`/control/wire?after=${calls.at(-1)?.number ?? 0}`);
  if (!found) return;
  const newer = found.filter((each) => each.number > (calls.at(-1)?.number ?? 0));
  calls = [...calls, ...newer].slice(-KEPT);
  draw();
}

const KINDS = { all: () => true, slack: isSlack, vendors: (call) => !isSlack(call) };
function isSlack(call) { return call.from === "Slack" || call.to === "Slack"; }

function draw() {
  for (const button of $("wire-kinds").children) button.setAttribute("aria-pressed", String(button.value === shown));
  const chosen = calls.filter(KINDS[shown]).reverse();
  const rows = chosen.map((call) => ({ key: call.number, print: "", make: () => row(call) }));
  const empty = { key: "none", print: "", make: () => el("li", { class: "quiet" }, "Nothing yet.") };
  fill($("calls"), rows.length ? rows : [empty]);
}

function row(call) {
  const well = call.outcome === "ok" || call.outcome === "200";
  const exact = new Date(call.at * 1000).toLocaleTimeString([], { hour12: false });
  const part = (title, text) => text && el("div", {}, el("p", { class: "label" }, title), el("pre", { tabindex: "0" }, text));
  return el("li", {}, el("details", {},
    el("summary", {},
      el("span", { class: "route" }, `${call.from} → ${call.to}`), el("b", {}, call.what),
      el("span", { class: well ? "tag" : "tag warn" }, call.outcome), el("time", {}, exact)),
    part("Sent", call.sent), part("Answered", call.answered)));
}

for (const button of $("wire-kinds").children) {
  button.addEventListener("click", () => { shown = button.value; draw(); });
}
