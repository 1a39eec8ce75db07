"""What passed over the wire can be shown to anybody who looks at the page."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.wire import KEPT, LONGEST, MASK, Wire


def shown(sent: Any) -> str:
    wire = Wire(lambda: 0.0)
    wire.secrets.add("swordfish")
    wire.note("bot", "Slack", "chat.postMessage", "ok", sent)
    return str(wire.since(0)[0]["sent"])


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param({"text": "say swordfish twice"}, id="known, anywhere"),
        pytest.param([{"deep": {"Authorization": "Bearer abcdef"}}], id="by the header's name"),
        pytest.param({"headers": {"x-dc-devkey": "abcdef"}}, id="by a vendor's header"),
        pytest.param({"query": {"order_token": "abcdef"}}, id="by the argument's name"),
        pytest.param({"CHECKSUM": "abcdef"}, id="a signature"),
        pytest.param({"url": "ws://127.0.0.1:1/link/?ticket=abcdef&app_id=A0"}, id="in a socket's address"),
        pytest.param({"url": "http://127.0.0.1:1/response/abcdef"}, id="in a response_url"),
    ],
)
def test_a_secret_is_masked_wherever_it_is(sent: Any) -> None:
    assert MASK in shown(sent)
    assert "swordfish" not in shown(sent)
    assert "abcdef" not in shown(sent)


def test_everything_else_is_shown_as_it_was() -> None:
    assert '"order": "123456"' in shown({"order": "123456", "hash": "156772938.1827394"})
    assert "156772938" in shown({"hash": "156772938.1827394"})


def test_only_what_is_newer_is_repeated_and_only_the_latest_is_kept() -> None:
    wire = Wire(lambda: 0.0)
    for number in range(KEPT + 20):
        wire.note("bot", "Slack", f"call {number}", "ok")
    assert len(wire.since(0)) == KEPT
    assert [each["what"] for each in wire.since(wire.last - 1)] == [f"call {KEPT + 19}"]


def test_a_huge_payload_is_cut_off_and_says_so() -> None:
    assert len(shown({"body": "x" * 100_000})) < LONGEST + 100
    assert "more characters" in shown({"body": "x" * 100_000})
