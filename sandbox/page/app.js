// The workspace as one person sees it. Everything comes from the sandbox's own server, and nothing from elsewhere.
import { drawComposer } from "./composer.js";
import { drawModal } from "./dialogs.js";
import { $, directory } from "./dom.js";
import { channel, change, drawnBy, here, look } from "./here.js";
import { drawHome, drawMessages, drawThread } from "./messages.js";
import { drawPanel, refreshPanel } from "./panel.js";
import { get, toast } from "./server.js";
import { drawPeople, drawPlaces, drawTitle, showHome } from "./sidebar.js";

function draw() {
  if (here.state?.me !== here.me) return; // what this person sees is on its way
  if (!channel()) { // somebody else's conversation with the app, for example: then one's own
    const [first] = here.state.channels;
    here.place = (here.place.startsWith("D") && here.state.channels.find((each) => each.dm) || first).id;
  }
  look();
  drawPeople();
  drawPlaces();
  drawTitle();
  drawMessages();
  drawHome();
  drawThread();
  drawComposer();
  drawModal();
  drawPanel();
  const { connected, bot, team } = here.state;
  $("team").textContent = team;
  $("bot").textContent = connected ? `${bot.name} is connected` : `${bot.name} is not connected`;
  $("bot").className = connected ? "on" : "off";
}

let wanted = 0;
async function refresh() {
  const number = (wanted += 1);
  const me = here.me;
  const state = await get(`/control/state?as=${encodeURIComponent(me)}`);
  if (!state || number !== wanted || me !== here.me) return; // a newer answer is on its way
  for (const [id, name] of Object.entries(state.names)) directory.set(id, name);
  const another = here.state && here.state.me !== state.me;
  here.state = state;
  here.me = state.me;
  draw();
  if (another && here.home) showHome(true); // the app draws it for each person
  await refreshPanel();
}

drawnBy(draw, refresh);

addEventListener("keydown", (event) => {
  const number = Number(event.altKey && event.key);
  const chosen = number && $("people").children[number - 1];
  if (chosen) { event.preventDefault(); chosen.click(); }
  if (event.key === "Escape" && !document.querySelector("dialog[open], :popover-open")) {
    if (document.body.classList.contains("drawer")) document.body.classList.remove("drawer");
    else if (here.thread) change({ thread: null });
  }
});
document.addEventListener("visibilitychange", draw);

$("drawer").addEventListener("click", () => {
  const shown = document.body.classList.toggle("drawer");
  $("drawer").setAttribute("aria-expanded", String(shown));
});
$("shade").addEventListener("click", () => document.body.classList.remove("drawer"));
$("thread-close").addEventListener("click", () => change({ thread: null }));
$("tab-home").addEventListener("click", () => showHome(true));
$("tab-messages").addEventListener("click", () => showHome(false));

// Live

let due = null;
function soon() {
  due ??= setTimeout(() => { due = null; refresh(); }, 30); // changes come in bursts
}

await refresh();
if (here.home) await showHome(true);
const changes = new EventSource("/control/changes");
changes.onmessage = soon;
changes.onerror = () => { toast("The sandbox does not answer. Is it still running?"); };
