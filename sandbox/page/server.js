// The only door to the sandbox's server.
import { $ } from "./dom.js";
import { here } from "./here.js";

export async function post(path, body = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ as: here.me, ...body }),
  }).catch(() => null);
  const found = await answer?.json().catch(() => null) ?? { ok: false, error: "the sandbox does not answer" };
  if (!found.ok && found.error) toast(inWords(found.error));
  return found;
}

export async function get(path) {
  const answer = await fetch(path).catch(() => null);
  return answer?.ok ? answer.json() : null;
}

// What Slack shows when an app does not answer as it has to.
const WORDS = {
  operation_timeout: "the app did not answer within three seconds",
  dispatch_failed: "the app cannot be reached",
  connection_lost: "the app went away before it answered",
  not_available_to_other_teams: "people of another company cannot use this app's commands",
};
const inWords = (error) => `That did not work: ${WORDS[error] || error}.`;

let toastTimer;
export function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, 6000);
}
