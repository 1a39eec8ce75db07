"""The people and channels of the example team."""

from __future__ import annotations

from sandbox.slack.model import Channel, Group, Member

TEAM = "T0NORTHWIND"
OTHER_TEAM = "T0OTHER"
BOT_USER = "U0BOT"


def members(bot_name: str) -> list[Member]:
    return [
        Member("U0ALICE", "alice", "Alice", TEAM),
        Member("U0BOB", "bob", "Bob", TEAM),
        Member("U0CAROL", "carol", "Carol", TEAM),
        Member("U0DAN", "dan", "Dan", TEAM),
        Member("U0GINA", "gina", "Gina", TEAM, is_restricted=True),
        Member("U0EVE", "eve", "Eve", OTHER_TEAM, is_stranger=True),
        Member("U0ZED", "zed", "Zed", TEAM, deleted=True),
        Member(BOT_USER, bot_name.lower().replace(" ", "_"), bot_name, TEAM, is_bot=True),
    ]


def groups() -> list[Group]:
    return [Group("S0ONCALL", "oncall", ["U0BOB", "U0CAROL", "U0DAN"])]


def channels() -> list[Channel]:
    ours = ["U0ALICE", "U0BOB", "U0CAROL", "U0DAN", "U0GINA"]
    return [
        Channel("C0APPROVALS", "approvals", [*ours, "U0EVE", BOT_USER], is_shared=True),
        Channel("C0GENERAL", "general", list(ours)),
        Channel("C0ORDERS", "orders", [*ours, BOT_USER]),
    ]
