// Where one types: messages, commands, replies.
import { $, el, fill } from "./dom.js";
import { channel, change, here, open } from "./here.js";
import { post, toast } from "./server.js";

export function drawComposer() {
  const place = channel();
  const where = place.dm ? here.state.bot.name : `#${place.name}`;
  $("composer").hidden = here.home;
  $("line").placeholder = `Message ${where}, or ${here.state.commands.join(", ")}`;
  const offered = here.state.shortcuts.filter((each) => each.kind === "global");
  fill($("shortcuts"), offered.map((each) => ({
    key: each.id, print: each.name,
    make: () => el("button", { type: "button", class: "plain", onclick: () => post("/control/shortcut", { callback_id: each.id }) },
      `⚡ ${each.name}`),
  })));
}

async function send(box, saying) {
  const line = box.value.trim();
  if (!line) return;
  box.value = "";
  const answer = await saying(line);
  if (!answer.ok) box.value ||= line; // typed again or lost: keep it
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send($("line"), (line) => {
    const [command, ...rest] = line.split(" ");
    return command.startsWith("/")
      ? post("/control/command", { channel: here.place, command, text: rest.join(" ") })
      : post("/control/say", { channel: here.place, text: line });
  });
});

$("answer").addEventListener("submit", (event) => {
  event.preventDefault();
  send($("reply"), (line) => {
    if (!line.startsWith("/")) return post("/control/say", { channel: here.place, text: line, thread: here.thread });
    toast("Slack takes no commands in threads.");
    return { ok: false };
  });
});

// Write the command that asks for the cancellation of this order, for the person to finish and send.
export function write(words) {
  if (here.home || channel()?.dm) open("C0ORDERS");
  change({ thread: null });
  $("line").value = words;
  $("line").focus();
}
