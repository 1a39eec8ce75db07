// Who is looking, and at what. Everything that is drawn is drawn from here.

const asked = new URLSearchParams(location.search);
const wide = matchMedia("(min-width: 1100px)").matches;

export const here = {
  me: asked.get("as") || sessionStorage.me || "U0ALICE",
  place: asked.get("place") || sessionStorage.place || "C0ORDERS", // a channel's id
  thread: asked.get("thread"), // the message whose thread is open
  home: asked.has("home"), // in the app's own place: its Home tab instead of its messages
  panel: asked.get("panel") || sessionStorage.panel || (wide ? "vendors" : ""), // behind the scenes; "" is closed
  newFrom: "", // what was said after this was new when the place was opened
  state: null,
};

let draw = () => {};
let refresh = async () => {};
export const drawnBy = (drawing, refreshing) => { draw = drawing; refresh = refreshing; };

export function change(fields) {
  Object.assign(here, fields);
  sessionStorage.me = here.me;
  sessionStorage.place = here.place;
  sessionStorage.panel = here.panel;
  draw();
}

// Be somebody else. What they see is drawn once it is there, and not before.
export async function become(id) {
  if (id === here.me) return;
  here.me = id;
  here.newFrom = seen[`${id} ${here.place}`] ?? "";
  sessionStorage.me = id;
  await refresh();
}

export const channel = () => here.state.channels.find((each) => each.id === here.place);

export function open(place, more = {}) {
  const last = seen[`${here.me} ${place}`] ?? "";
  change({ place, thread: null, home: false, newFrom: last, ...more });
}

// A link to a message, as Slack makes them: https://team.slack.com/archives/C0X/p1700000000000100
export function follow(url) {
  const found = /^https:\/\/\w+\.slack\.com\/archives\/(\w+)\/p(\d+)(\d{6})/.exec(url);
  if (!found) return false;
  const top = new URL(url).searchParams.get("thread_ts");
  open(found[1], { thread: top || `${found[2]}.${found[3]}` });
  return true;
}

// What each person has looked at already, in this tab: "person place" -> the newest of it.

const seen = JSON.parse(sessionStorage.seen || "{}");

const newestOf = (place) => {
  const every = place.messages.flatMap((m) => [m, ...m.thread]);
  return every.reduce((newest, m) => (m.ts > newest ? m.ts : newest), "");
};

export function look() {
  const place = channel();
  if (!place || here.home || document.hidden) return;
  seen[`${here.me} ${place.id}`] = newestOf(place);
  if (here.thread) seen[`${here.me} ${here.thread}`] = newestOf(place);
  sessionStorage.seen = JSON.stringify(seen);
}

export function isUnread(place) {
  const last = seen[`${here.me} ${place.id}`] ?? "";
  return place.messages.some((m) => m.ts > last && m.user !== here.me && !m.deleted);
}

// How often somebody was called by name, in a DM or in private, since they last looked.
export function calls(person, place) {
  const last = seen[`${person} ${place}`] ?? "";
  return (here.state.loud[person]?.[place] ?? []).filter((ts) => ts > last).length;
}

export function allCalls(person) {
  return Object.keys(here.state.loud[person] ?? {}).reduce((sum, place) => sum + calls(person, place), 0);
}

export function newReplies(top) {
  const last = seen[`${here.me} ${top.ts}`] ?? "";
  return top.thread.filter((reply) => reply.ts > last && reply.user !== here.me && !reply.deleted).length;
}
