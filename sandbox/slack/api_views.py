"""views.*: modals need a fresh trigger, Home tabs a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.slack import checks, interactions
from sandbox.slack.model import Json, Refused, View

if TYPE_CHECKING:
    from sandbox.slack.workspace import Workspace


def open_view(workspace: Workspace, args: Json) -> Json:
    content = _checked(args["view"], "modal")
    trigger = workspace.views.exchange(args.get("trigger_id"))
    return _shown(workspace, workspace.views.open(trigger.user, content))


def push(workspace: Workspace, args: Json) -> Json:
    content = _checked(args["view"], "modal")
    trigger = workspace.views.exchange(args.get("trigger_id"))
    if trigger.view is None:
        raise Refused("invalid_trigger_id")  # pushing takes something done in a modal
    return _shown(workspace, workspace.views.push(trigger.user, content))


def update(workspace: Workspace, args: Json) -> Json:
    content = _checked(args["view"], None)
    view = workspace.views.find(args.get("view_id"), args.get("external_id"))
    if view.content["type"] != content["type"]:
        raise Refused("invalid_arguments")
    if args.get("hash") and args["hash"] != view.hash:
        raise Refused("hash_conflict")
    return _shown(workspace, workspace.views.replace(view, content))


def publish(workspace: Workspace, args: Json) -> Json:
    content = _checked(args["view"], "home")
    if not workspace.manifest.home_tab:
        raise Refused("not_enabled")
    member = workspace.members.get(args["user_id"])
    if member is None or member.is_bot or member.is_stranger:
        raise Refused("invalid_arguments", errors=["user_id is nobody's here"])
    return _shown(workspace, workspace.views.publish(member.id, content, args.get("hash")))


def _checked(content: Any, kind: str | None) -> Json:
    complaints = checks.view(content)
    if not complaints and kind and content["type"] != kind:
        complaints = [f"must be a view of type {kind} [json-pointer:/view/type]"]
    if complaints:
        raise Refused("invalid_arguments", errors=complaints)
    if checks.too_large(content):
        raise Refused("view_too_large")
    checks.with_ids(content["blocks"])
    found: Json = content
    return found


def _shown(workspace: Workspace, view: View) -> Json:
    workspace.changed()
    return {"view": interactions.view_json(workspace, view)}
