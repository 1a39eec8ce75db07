"""What the bot makes of Slack's answers: messages that it reads back, and the time Slack has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.slack import Posted, Slack, SlackProblem
from sandbox.slack.server import SlackServer
from sandbox.slack.workspace import Workspace
from tests.bot.stores import Clock

CHANNEL = "C0APPROVALS"
METADATA = {"event_type": "order_cancellation", "event_payload": {"request_id": "1", "audit_head": "2:ab"}}


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    yield (workspace := Workspace())
    assert workspace.problems == []


@pytest.fixture
async def server(workspace: Workspace) -> AsyncIterator[SlackServer]:
    server = SlackServer(workspace)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def slack(workspace: Workspace, server: SlackServer) -> AsyncIterator[Slack]:
    slack = Slack(workspace.bot_token, server.api_url)
    yield slack
    await slack.close()


def texts(messages: list[Posted]) -> list[str]:
    return [message.text for message in messages]


async def test_what_the_bot_posted_is_read_back_with_its_metadata(slack: Slack) -> None:
    _, ts = await slack.post(CHANNEL, "hello", metadata=METADATA)
    payload = {"request_id": "1", "audit_head": "2:ab"}
    assert await slack.history(CHANNEL) == [
        Posted(ts, "hello", is_ours=True, event_type="order_cancellation", payload=payload)
    ]


async def test_what_people_post_is_not_ours(slack: Slack, workspace: Workspace) -> None:
    workspace.post(workspace.channel(CHANNEL), "U0ALICE", "hello", metadata=METADATA)
    assert [message.is_ours for message in await slack.history(CHANNEL)] == [False]


async def test_history_is_read_page_by_page_up_to_what_was_asked_for(
    slack: Slack, workspace: Workspace
) -> None:
    channel = workspace.channel(CHANNEL)
    posted = [workspace.post(channel, "U0ALICE", f"{number}") for number in range(450)]
    newest_first = [f"{number}" for number in reversed(range(450))]
    assert texts(await slack.history(CHANNEL, limit=430)) == newest_first[:430]
    assert texts(await slack.history(CHANNEL, limit=1000)) == newest_first
    assert texts(await slack.history(CHANNEL, oldest=posted[446].ts)) == ["449", "448", "447"]
    assert texts(await slack.history(CHANNEL, latest=posted[2].ts)) == ["1", "0"]
    assert max(int(call.args["limit"]) for call in workspace.calls if "history" in call.method) == 200


async def test_a_thread_is_read_from_its_top(slack: Slack) -> None:
    _, top = await slack.post(CHANNEL, "top")
    _, first = await slack.post(CHANNEL, "first", thread=top)
    await slack.post(CHANNEL, "second", thread=top, metadata=METADATA)
    thread = await slack.replies(CHANNEL, top)
    assert texts(thread) == ["top", "first", "second"]
    assert [message.thread for message in thread] == [top, top, top]
    assert [message.event_type for message in thread] == ["", "", "order_cancellation"]
    assert texts(await slack.replies(CHANNEL, top, oldest=first)) == ["second"]
    assert texts(await slack.history(CHANNEL)) == ["top"]


async def test_a_channel_or_thread_that_is_not_there_is_a_problem_by_its_name(slack: Slack) -> None:
    with pytest.raises(SlackProblem, match="not_in_channel"):
        await slack.history("C0GENERAL")
    with pytest.raises(SlackProblem, match="thread_not_found"):
        await slack.replies(CHANNEL, "1.000000")


# --- the time ---------------------------------------------------------------------------------------


async def offset(slack: Slack, workspace: Workspace, ahead: float) -> float:
    workspace.clock_offset = ahead
    await slack.whoami()
    assert slack.clock_offset is not None
    return slack.clock_offset.total_seconds()


async def test_each_answer_tells_how_far_our_clock_is_from_slacks(slack: Slack, workspace: Workspace) -> None:
    assert slack.clock_offset is None
    for ahead in (0.0, -3600.0, 90.0):
        assert await offset(slack, workspace, ahead) == pytest.approx(-ahead, abs=3)


async def test_a_refusal_tells_the_time_as_well(slack: Slack, workspace: Workspace) -> None:
    workspace.clock_offset = -300
    workspace.fail_next("auth.test", "ratelimited")
    with pytest.raises(SlackProblem):
        await slack.whoami()
    assert slack.clock_offset is not None
    assert slack.clock_offset.total_seconds() == pytest.approx(300, abs=3)


async def test_a_clock_that_is_set_during_a_call_says_nothing(
    workspace: Workspace, server: SlackServer
) -> None:
    clock = Clock(datetime.now(UTC))
    slack = Slack(workspace.bot_token, server.api_url, clock)
    await slack.whoami()
    known, real = slack.clock_offset, workspace.clock

    def stepping() -> float:
        clock.advance(timedelta(minutes=10))
        return real()

    workspace.clock = stepping
    await slack.whoami()
    assert slack.clock_offset == known
    workspace.clock = real
    await slack.whoami()
    assert slack.clock_offset is not None
    assert slack.clock_offset > timedelta(minutes=9)
    await slack.close()
