"""The Slack app manifest asks for what the bot uses, and for no more."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from slack_bolt.async_app import AsyncApp

from bot import cli, listeners, manifest
from bot.doors.http import PATH

ROOT = Path(__file__).parents[1]
MANIFEST: dict[str, Any] = yaml.safe_load((ROOT / "manifest.yml").read_text("utf-8"))

# The bot scopes each method needs, for all kinds of channels; none: any bot token will do, or an app-level
# token.
# Each method's page, docs.slack.dev/reference/methods/<method>, has it under "Facts".
SCOPE_OF = {
    "auth.test": (),
    "apps.connections.open": (),
    "bots.info": ("users:read",),
    "chat.getPermalink": (),
    "chat.postEphemeral": ("chat:write",),
    "chat.postMessage": ("chat:write",),
    "chat.update": ("chat:write",),
    "conversations.history": ("channels:history", "groups:history"),
    "conversations.replies": ("channels:history", "groups:history"),
    "usergroups.users.list": ("usergroups:read",),
    "users.info": ("users:read",),
    "users.lookupByEmail": ("users:read.email",),
    "views.open": (),
    "views.publish": (),
    "views.update": (),
}
# Slash commands and shortcuts: docs.slack.dev/reference/scopes/commands
COMMANDS = "commands"


class Collector:
    """Stands in for the Bolt app, and writes down what is listened to."""

    def __init__(self) -> None:
        self.heard: dict[str, list[object]] = {}

    def __getattr__(self, kind: str) -> Any:
        def listen(what: object, *_: object, **__: object) -> Any:
            self.heard.setdefault(kind, []).append(what)
            return lambda function: function

        assert hasattr(AsyncApp, kind), kind
        return listen


def listened_to(kind: str) -> set[str]:
    collector = Collector()
    anything: Any = None
    listeners.register(collector, anything, anything)  # type: ignore[arg-type]
    return {what for what in collector.heard.get(kind, []) if isinstance(what, str)}


def methods_called() -> set[str]:
    """Every Web API method that is called where the bot talks to Slack, by name or as `client.x_y()`."""
    by_attribute = {method.replace(".", "_"): method for method in SCOPE_OF}
    found: set[str] = set()
    for path in (ROOT / "bot/slack.py", *sorted((ROOT / "bot/doors").glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    ast.Attribute(attr="_call" | "_read" | "_read_messages" | "api_call"),
                    [ast.Constant(str(method)), *_],
                ):
                    found.add(method)
                case ast.Call(ast.Attribute(ast.Attribute(attr="client" | "web_client"), called)):
                    found.add(by_attribute.get(called, called))
    return found - {"api_call"}


def test_each_command_is_declared_and_listened_to() -> None:
    declared = {command["command"] for command in MANIFEST["features"]["slash_commands"]}
    assert declared == listened_to("command")
    assert declared


def test_each_shortcut_is_declared_and_listened_to() -> None:
    declared = {shortcut["callback_id"] for shortcut in MANIFEST["features"]["shortcuts"]}
    kinds = ("shortcut", "global_shortcut", "message_shortcut")
    assert declared == set().union(*map(listened_to, kinds))
    assert declared


def test_each_event_is_declared_and_listened_to() -> None:
    declared = MANIFEST["settings"].get("event_subscriptions", {}).get("bot_events", [])
    assert set(declared) == listened_to("event")


def test_buttons_and_forms_reach_the_bot() -> None:
    assert listened_to("action")
    assert listened_to("view")
    assert MANIFEST["settings"]["interactivity"]["is_enabled"] is True


def test_every_method_that_is_called_is_known_here() -> None:
    called = methods_called()
    assert called == set(SCOPE_OF)


def test_the_scopes_are_those_of_the_methods_that_are_called_and_no_more() -> None:
    needed = {scope for method in methods_called() for scope in SCOPE_OF[method]}
    scopes = MANIFEST["oauth_config"]["scopes"]
    assert set(scopes) == {"bot"}
    assert set(scopes["bot"]) == needed | {COMMANDS}
    assert len(scopes["bot"]) == len(set(scopes["bot"]))


def test_names_and_descriptions_fit() -> None:
    """docs.slack.dev/reference/app-manifest"""
    shown, features = MANIFEST["display_information"], MANIFEST["features"]
    lengths = [(shown["name"], 35), (shown["description"], 140), (features["bot_user"]["display_name"], 80)]
    for shortcut in features["shortcuts"]:
        lengths += [(shortcut["name"], 24), (shortcut["description"], 150), (shortcut["callback_id"], 255)]
    for command in features["slash_commands"]:
        lengths += [(command["command"], 32), (command["description"], 2000), (command["usage_hint"], 1000)]
    assert [text for text, most in lengths if not 0 < len(text) <= most] == []
    assert re.fullmatch(r"#[0-9a-f]{6}", shown["background_color"])
    assert re.fullmatch(r"[a-z0-9._-]+", features["bot_user"]["display_name"])


def test_nobody_is_asked_for_a_token_that_rotates() -> None:
    """The bot keeps the token it is given; one that changes twice a day would lock it out."""
    assert MANIFEST["settings"]["token_rotation_enabled"] is False
    assert MANIFEST["settings"]["org_deploy_enabled"] is False


# --- what `python -m bot manifest` prints -----------------------------------------------------------


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["manifest", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_the_manifest_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys) == (ROOT / "manifest.yml").read_text("utf-8")
    assert MANIFEST["settings"]["socket_mode_enabled"] is True


def test_the_manifest_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed(capsys, "--json")) == MANIFEST


def test_the_manifest_is_found_from_any_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert json.loads(printed(capsys, "--json")) == MANIFEST


@pytest.mark.parametrize("flags", [("--json",), ()])
@pytest.mark.parametrize("url", ["https://bot.example.com", "https://bot.example.com/"])
def test_with_a_url_slack_reaches_the_bot_over_http(
    capsys: pytest.CaptureFixture[str], url: str, flags: tuple[str, ...]
) -> None:
    found = yaml.safe_load(printed(capsys, "--url", url, *flags))
    wanted = f"https://bot.example.com{PATH}"
    assert found["settings"].pop("socket_mode_enabled") is False
    assert found["settings"]["interactivity"].pop("request_url") == wanted
    assert found["settings"]["event_subscriptions"].pop("request_url") == wanted
    assert [command.pop("url") for command in found["features"]["slash_commands"]] == [wanted]
    rest = manifest_without_socket_mode()
    assert found == rest


def manifest_without_socket_mode() -> dict[str, Any]:
    rest: dict[str, Any] = json.loads(json.dumps(MANIFEST))
    del rest["settings"]["socket_mode_enabled"]
    return rest


@pytest.mark.parametrize("url", ["bot.example.com", "http://bot.example.com", "ftp://x", "https://u:p@x", ""])
def test_an_address_that_slack_would_refuse_is_refused_here(
    capsys: pytest.CaptureFixture[str], url: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["manifest", "--url", url])
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


def test_outside_of_the_project_there_is_no_manifest_and_a_sentence_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "SOURCE", tmp_path / "manifest.yml")
    with pytest.raises(SystemExit) as ended:
        cli.main(["manifest"])
    assert ended.value.code == 1
    assert "There is no" in capsys.readouterr().err


# --- the Slack CLI ----------------------------------------------------------------------------------


def hooks() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / ".slack/hooks.json").read_text("utf-8"))
    return found


def test_the_slack_cli_gets_the_manifest_and_can_start_the_bot() -> None:
    """github.com/slackapi/slack-cli, .github/cli-sdk-specification.md"""
    commands = hooks()["hooks"]
    assert set(commands) == {"get-manifest", "start"}
    for command in commands.values():
        python, dash_m, package, *arguments = shlex.split(command)
        assert (python, dash_m, package) == ("python", "-m", "bot")
        assert cli._parser().parse_args(arguments).command
    assert shlex.split(commands["get-manifest"])[3:] == ["manifest", "--json"]
    assert "socket" in shlex.split(commands["start"])


def test_the_slack_cli_leaves_the_connection_to_the_bot() -> None:
    """Otherwise it would connect by itself, and start a bot for each click."""
    assert hooks()["config"]["sdk-managed-connection-enabled"] is True


def test_the_slack_cli_watches_what_exists() -> None:
    watched = re.compile(hooks()["config"]["watch"]["filter-regex"])
    assert watched.search("manifest.yml")
    assert not watched.search("data/bot.db")
