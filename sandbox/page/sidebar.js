// Who one is, where one is, and what is unread.
import { $, avatar, el, fill, names } from "./dom.js";
import { allCalls, become, calls, change, channel, here, isUnread, open } from "./here.js";
import { post } from "./server.js";

const badge = (count) => count > 0 && el("span", { class: "badge", "aria-label": `${count} for you` }, String(count));

export function drawPeople() {
  const items = here.state.people.filter((each) => each.id === here.me || !each.deleted).map((each, n) => {
    const mine = each.id === here.me;
    const about = [each.name, each.what, ...each.groups.map((g) => `@${g}`), each.deleted && "deactivated"].filter(Boolean);
    const count = mine ? 0 : allCalls(each.id);
    const spoken = count ? `${each.name}, ${count} for them` : each.name;
    const look = { "aria-pressed": String(mine), "aria-label": spoken, class: each.deleted ? "gone" : "", title: `${about.join(", ")} (Alt+${n + 1})` };
    return {
      key: each.id, print: JSON.stringify([each, mine, count]),
      make: () => el("button", { ...look, "data-focus": each.id, onclick: () => become(each.id) },
        avatar(each.id), el("span", { class: "name" }, each.name), badge(count)),
    };
  });
  fill($("people"), items);
}

export function drawPlaces() {
  const [dm] = here.state.channels.filter((each) => each.dm);
  const rooms = here.state.channels.filter((each) => !each.dm);
  fill($("channels"), rooms.map((each) => item(each, `# ${each.name}`)));
  fill($("apps"), dm ? [item(dm, here.state.bot.name, avatar(here.state.bot.id, true))] : []);
  $("me").replaceChildren(avatar(here.me), el("span", {}, names(here.me)));
  const unread = here.state.channels.some((each) => each.id !== here.place && calls(here.me, each.id));
  $("drawer").classList.toggle("unread", unread);
}

function item(place, title, picture = null) {
  const now = place.id === here.place;
  const unread = !now && isUnread(place);
  const count = now ? 0 : calls(here.me, place.id);
  const look = { "aria-current": now && "page", class: unread ? "unread" : "", "data-focus": place.id };
  const go = () => { document.body.classList.remove("drawer"); open(place.id); };
  return {
    key: place.id, print: JSON.stringify([title, now, unread, count]),
    make: () => el("button", { ...look, onclick: go }, picture, el("span", { class: "name" }, title), badge(count)),
  };
}

export function drawTitle() {
  const place = channel();
  const kind = place.shared ? " · shared with another company" : "";
  $("place").textContent = place.dm ? here.state.bot.name : `# ${place.name}`;
  $("about").textContent = place.archived ? "archived" : place.dm ? "app" : `${place.members} members${kind}`;
  $("tabs").hidden = !place.dm || !here.state.home_tab;
  for (const [id, isHome] of [["tab-home", true], ["tab-messages", false]]) {
    $(id).setAttribute("aria-selected", String(here.home === isHome));
  }
}

export async function showHome(on) {
  change({ home: on, thread: null });
  if (on) await post("/control/home");
}
