// Modals and confirm dialogs. What was typed survives a redraw; the bot may redraw at any time.
import { blocks } from "./blocks.js";
import { $, el } from "./dom.js";
import { typed } from "./fields.js";
import { here } from "./here.js";
import { post } from "./server.js";
import { text } from "./text.js";

let shown = "";

export function drawModal() {
  const modal = here.state.modal;
  const box = $("modal");
  if (!modal) return closeModal();
  const version = `${here.me} ${modal.id} ${modal.hash} ${JSON.stringify(modal.errors)}`;
  if (version === shown) return;
  const again = shown.startsWith(`${here.me} ${modal.id} `);
  const drafts = again ? typed(box) : {};
  const held = again && box.contains(document.activeElement) ? document.activeElement.id : "";
  shown = version;
  box.replaceChildren(form(modal, drafts));
  if (!box.open) box.showModal();
  const wrong = box.querySelector("[aria-invalid]");
  const empty = [...box.querySelectorAll("[data-key]")].find((input) => !input.value && !input.matches("[type=radio]"));
  (wrong || (held && document.getElementById(held)) || empty || box.querySelector("[type=submit]") || box.querySelector("button"))?.focus();
}

export function closeModal() {
  shown = "";
  if ($("modal").open) $("modal").close();
}

function form(modal, drafts) {
  const { content } = modal;
  const send = (what, more = {}) => post(`/control/${what}`, { view: modal.id, values: typed($("modal")), ...more });
  const at = (block, element) => ({ block: block.block_id, action: element.action_id });
  const use = {
    press: (block, element) => send("view", at(block, element)),
    choose: (block, element, value) => send("choose", { ...at(block, element), value }),
    confirm, drafts, values: modal.values, errors: modal.errors,
  };
  const submit = async (event) => {
    event.preventDefault();
    const button = event.target.querySelector("[type=submit]");
    if (!button || button.disabled) return;
    button.disabled = true;
    await send("submit");
    button.disabled = false;
  };
  const close = () => post("/control/close", { view: modal.id });
  return el("form", { onsubmit: submit, novalidate: true, autocomplete: "off" },
    el("div", { class: "title" }, el("h2", { id: "modal-title" }, content.title.text),
      el("button", { type: "button", class: "plain", "aria-label": "Close", onclick: close }, "✕")),
    el("div", { class: "fields" }, blocks(content.blocks, use)),
    el("div", { class: "buttons" },
      el("button", { type: "button", onclick: close }, content.close?.text || "Cancel"),
      content.submit && el("button", { type: "submit", class: "primary" }, content.submit.text)));
}

$("modal").addEventListener("cancel", (event) => {
  event.preventDefault();
  if (here.state.modal) post("/control/close", { view: here.state.modal.id });
});

// A confirm dialog, as a button asks for it. Resolves to whether it was confirmed.
export function confirm(asked) {
  const box = $("confirm");
  return new Promise((resolve) => {
    box.returnValue = "";
    box.onclose = () => resolve(box.returnValue === "yes");
    const style = asked.style === "danger" ? "danger" : "primary";
    box.replaceChildren(el("form", { method: "dialog" },
      el("div", { class: "title" }, el("h2", { id: "confirm-title" }, asked.title?.text || "Are you sure?")),
      el("div", { class: "fields" }, text(asked.text)),
      el("div", { class: "buttons" },
        el("button", { value: "no" }, asked.deny?.text || "Cancel"),
        el("button", { value: "yes", class: style, autofocus: true }, asked.confirm?.text || "Yes"))));
    box.showModal();
  });
}
