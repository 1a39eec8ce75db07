"""What is written for whoever is on duty: held against the running bot."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bot.model import State
from providers.contract import Result
from tests.conftest import World

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs/operations.md").read_text("utf-8")
ALERTS = (ROOT / "docs/alerts.yml").read_text("utf-8")
DASHBOARD = (ROOT / "docs/grafana.json").read_text("utf-8")
SUFFIXES = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}


@pytest.fixture
def transport() -> str:
    return "socket"


async def families(world: World) -> dict[str, str]:
    """The name of each metric there is, and its type."""
    assert world.bot
    url = f"http://127.0.0.1:{world.bot.port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return {each.name: each.type for each in text_string_to_metric_families(await response.text())}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS)["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD)["panels"]
    return found


def expressions() -> list[str]:
    targets = [target for panel in panels() for target in panel["targets"]]
    return [rule["expr"] for rule in rules()] + [target["expr"] for target in targets]


def named(text: str) -> set[str]:
    return set(re.findall(r"\bcountersign_[a-z_]+", text))


async def test_every_metric_that_a_rule_or_a_panel_names_exists(world: World) -> None:
    there = {name + suffix for name, kind in (await families(world)).items() for suffix in SUFFIXES[kind]}
    wanted = {name for each in expressions() for name in named(each)}
    assert len(wanted) > 10
    assert wanted - there == set()


async def test_the_guide_tells_of_each_metric_and_of_no_other(world: World) -> None:
    there = {name + ("_total" if kind == "counter" else "") for name, kind in (await families(world)).items()}
    described = set(re.findall(r"^\| `(countersign_\w+)` \|", GUIDE, re.MULTILINE))
    assert described == there


def test_every_value_of_a_label_that_a_rule_or_a_panel_names_exists() -> None:
    known = {
        "state": {state.value for state in State},
        "result": {result.value for result in Result},
        "call": {"look_up", "cancel", "follow_up"},
        "kind": {"ratelimited", "auth", "no_answer", "broken", "refused"},
    }
    found = [pair for each in expressions() for pair in re.findall(r'(\w+)="(\w+)"', each)]
    assert found
    assert [(label, value) for label, value in found if value not in known[label]] == []


def test_each_rule_says_what_it_is_about_and_whom_it_wakes() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 10
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"].endswith(".")


def test_each_panel_has_a_place_of_its_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        mine = {(at["x"] + right, at["y"] + down) for right in range(at["w"]) for down in range(at["h"])}
        assert not taken & mine, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= mine


def test_each_reason_in_the_guide_is_one_that_the_bot_gives() -> None:
    section = GUIDE.split("## What `/readyz` says")[1].split("## ")[0]
    reasons = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert len(reasons) > 10
    sources = "".join(path.read_text("utf-8") for path in sorted((ROOT / "bot").rglob("*.py")))
    texts = " ".join(re.sub(r'"\s*\n\s*f?"', "", sources).split())
    assert [reason for reason in reasons if reason.split("…")[0].strip() not in texts] == []
