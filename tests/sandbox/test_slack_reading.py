"""What people read: mrkdwn and blocks as plain words."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.slack import reading

NAMES = {"U0BOB": "Bob", "C0ORDERS": "orders", "S0ONCALL": "oncall"}


def names(thing: str) -> str:
    return NAMES.get(thing, thing)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("*bold* _italic_ `code` ~gone~", "bold italic code gone"),
        ("*_both_*", "both"),
        ("snake_case_name and 2*3*4", "snake_case_name and 2*3*4"),
        ("<@U0BOB> in <#C0ORDERS|orders>", "@Bob in #orders"),
        ("<!subteam^S0ONCALL> <!here>", "@oncall @here"),
        ("<https://example.com|the order> <https://example.com>", "the order https://example.com"),
        ("&lt;!channel&gt; &amp;amp;", "<!channel> &amp;"),
        ("<!date^1700000000^{date_num} {time_secs}|then>", "2023-11-14 22:13:20"),
        ("<!date^1700000000^{date_short} at {time}|then>", "Nov 14, 2023 at 22:13"),
        ("<!date^soon^{date}|then>", "then"),
    ],
)
def test_mrkdwn(written: str, read: str) -> None:
    assert reading.mrkdwn_text(written, names) == read


def test_blocks() -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": "*not bold*"}},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "*State*\nissued"}]},
        {"type": "divider"},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "by <@U0BOB>"}]},
        {
            "type": "actions",
            "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Approve"}}],
        },
        {
            "type": "rich_text",
            "elements": [
                {
                    "type": "rich_text_section",
                    "elements": [{"type": "text", "text": "hi "}, {"type": "user", "user_id": "U0BOB"}],
                }
            ],
        },
    ]
    read = "*not bold*\nState\nissued\nby @Bob\n[Approve]\nhi @Bob"
    assert reading.blocks_text(blocks, names) == read
    assert [button["text"]["text"] for _, button in reading.buttons(blocks)] == ["Approve"]
