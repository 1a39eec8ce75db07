"""`providers` and `manifest`: what the bot is, before it is set up."""

from __future__ import annotations

import argparse
import os

from bot import manifest
from bot.cli.console import FAILED, OK, Commands, complain, say, url
from bot.settings import read_environment
from providers import ADAPTERS
from providers.contract import Setting


def add(commands: Commands) -> None:
    table = commands.add_parser("providers", help="which providers there are, and what they need")
    table.set_defaults(command=_providers)

    manifested = commands.add_parser("manifest", help="the Slack app as Slack should get it")
    manifested.add_argument("--json", action="store_true")
    manifested.add_argument(
        "--url", type=url, help="where Slack reaches the bot over HTTP, instead of Socket Mode"
    )
    manifested.set_defaults(command=_manifest)


def _providers(_given: argparse.Namespace) -> int:
    environment = read_environment(os.environ)
    for adapter in ADAPTERS:
        facts = adapter.facts
        needed = [setting.name for setting in facts.settings if setting.default is None]
        enabled = all(environment.get(name) or environment.get(f"{name}_FILE") for name in needed)
        say(f"{facts.label} ({facts.name}): {'enabled' if enabled else 'not enabled'}")
        say(f"  {facts.reference_label}: {facts.reference_form}")
        say(f"  Cancelling: {facts.consequence}")
        say(f"  Limits: {facts.limits}")
        say("  Settings:")
        for setting in facts.settings:
            say(f"    {_setting(setting)}")
        say(f"  Documentation: {facts.docs}")
    return OK


def _setting(setting: Setting) -> str:
    optional = "" if setting.default is None else f" (optional, {setting.default})"
    return f"{setting.name}{optional}: {setting.help.rstrip('.')}"


def _manifest(given: argparse.Namespace) -> int:
    try:
        say(manifest.render(manifest.SOURCE, as_json=given.json, url=given.url))
    except FileNotFoundError:
        complain(f"There is no {manifest.SOURCE}; the manifest is in the project's folder.", FAILED)
    return OK
