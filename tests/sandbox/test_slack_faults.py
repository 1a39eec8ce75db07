"""What goes wrong on the way: slow bots, lost answers, outages, reconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError

from tests.sandbox.tiny_bot import Running, card, field, modal, start


@pytest.fixture(params=["socket", "http"])
async def bot(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        yield await start(stack, request.param, ack_timeout=0.5)


@pytest.fixture
async def by_socket() -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        yield await start(stack, "socket", ack_timeout=0.5)


async def post(bot: Running, text: str = "hello") -> dict[str, Any]:
    answer = await bot.client.chat_postMessage(channel="C0ORDERS", text=text)
    return dict(answer.data) if isinstance(answer.data, dict) else {}


def texts(bot: Running) -> list[str]:
    return [m.text for m in bot.workspace.channel("C0ORDERS").messages]


async def test_without_an_answer_in_time_the_person_sees_an_error(bot: Running) -> None:
    held = asyncio.Event()

    @bot.app.middleware
    async def slow(next: Any) -> None:
        await held.wait()
        await next()

    ack = await bot.workspace.person("alice").command("/ask", "help")
    assert (ack.ok, ack.error, ack.status) == (False, "operation_timeout", "operation_timeout")
    assert "the person saw an error, operation_timeout" in bot.workspace.problems[0]
    held.set()


async def test_a_late_acknowledgement_is_a_problem_too(by_socket: Running) -> None:
    held = asyncio.Event()

    @by_socket.app.middleware
    async def slow(next: Any) -> None:
        await held.wait()
        await next()

    await by_socket.workspace.person("alice").command("/ask", "help")
    held.set()
    late = "/ask: acknowledged after more than 0.5 s"
    assert await by_socket.workspace.wait_until(lambda: late in by_socket.workspace.problems)
    assert by_socket.workspace.person("alice").ephemerals() == []


async def test_a_form_that_is_not_answered_stays_open(bot: Running) -> None:
    alice = bot.workspace.person("alice")
    await alice.shortcut("ask")
    form = await alice.modal()
    held = asyncio.Event()

    @bot.app.middleware
    async def slow(next: Any) -> None:
        await held.wait()
        await next()

    form.fill({"Why": "it broke"})
    result = await form.submit()
    assert (result.ok, result.error, result.closed, form.is_open) == (False, "operation_timeout", False, True)
    held.set()


async def test_errors_by_name(bot: Running) -> None:
    bot.workspace.fail_next("chat.postMessage", "restricted_action")
    with pytest.raises(SlackApiError, match="restricted_action"):
        await post(bot)
    await post(bot)
    assert [(c.method, c.ok, c.error) for c in bot.workspace.calls if c.method.startswith("chat")] == [
        ("chat.postMessage", False, "restricted_action"),
        ("chat.postMessage", True, None),
    ]
    assert bot.workspace.problems == []


async def test_too_many_requests_say_when_to_come_back(bot: Running) -> None:
    bot.workspace.fail_next("chat.postMessage", "ratelimited", retry_after=7)
    with pytest.raises(SlackApiError) as caught:
        await post(bot)
    assert (caught.value.response.status_code, caught.value.response.headers["Retry-After"]) == (429, "7")


async def test_a_broken_slack_answers_with_a_page(bot: Running) -> None:
    bot.workspace.fail_next("*", status=503)
    with pytest.raises(SlackApiError) as caught:
        await post(bot)
    assert caught.value.response.status_code == 503


async def test_dropped_before_and_after(bot: Running) -> None:
    bot.client.retry_handlers.clear()  # the SDK's own would try again
    bot.workspace.fail_next("chat.postMessage", "drop")
    with pytest.raises(aiohttp.ClientError):
        await post(bot, "never said")
    bot.workspace.fail_next("chat.postMessage", "lose_answer")
    with pytest.raises(aiohttp.ClientError):
        await post(bot, "said, but the bot does not know")
    assert texts(bot) == ["said, but the bot does not know"]


async def test_a_hanging_call_goes_on_when_released(bot: Running) -> None:
    bot.workspace.fail_next("chat.postMessage", "hang")
    posting = asyncio.create_task(post(bot))
    await bot.workspace.wait_until(lambda: bot.workspace.faults.hanging)
    await post(bot, "the next one")
    assert not posting.done()
    bot.workspace.release()
    assert (await posting)["ok"]
    assert texts(bot) == ["the next one", "hello"]


async def test_an_outage_ends(bot: Running) -> None:
    bot.client.retry_handlers.clear()
    bot.workspace.outage()
    with pytest.raises(aiohttp.ClientError):
        await post(bot)
    bot.workspace.outage(False)
    await post(bot)
    assert texts(bot) == ["hello"]


async def test_nobody_there(bot: Running) -> None:
    if bot.workspace.delivery.request_url:
        bot.workspace.deliver_to_http("http://127.0.0.1:9/slack/events")
    else:
        bot.workspace.delivery.hub.drop()
        await bot.workspace.wait_until(lambda: not bot.workspace.delivery.hub.connected)
    assert (await bot.workspace.person("alice").command("/ask")).error == "dispatch_failed"
    assert bot.workspace.problems == []


@pytest.mark.parametrize("reason", ["refresh_requested", "link_disabled"])
async def test_the_bot_reconnects_when_told(by_socket: Running, reason: str) -> None:
    hub = by_socket.workspace.delivery.hub
    await by_socket.workspace.disconnect_sockets(reason)
    assert hub.connected == 0
    await by_socket.workspace.bot_connected()
    assert (await by_socket.workspace.person("alice").command("/ask", "help")).ok
    opened = [c for c in by_socket.workspace.calls if c.method == "apps.connections.open"]
    assert len(opened) == 2


async def test_a_socket_url_is_good_once(by_socket: Running) -> None:
    url = by_socket.workspace.delivery.hub.open()
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url) as socket:
            assert (await socket.receive_json())["type"] == "hello"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)


async def test_an_event_nobody_took_comes_again(bot: Running) -> None:
    attempts: list[str] = []
    again = asyncio.Event()

    @bot.app.middleware
    async def refuse_once(req: Any, next: Any) -> None:
        attempts.append(req.headers.get("x-slack-retry-num", ["first"])[0])
        if len(attempts) == 1:
            await again.wait()
        again.set()
        await next()

    await bot.workspace.person("bob").say("C0ORDERS", "@tiny hello")
    await bot.workspace.wait_until(bot.workspace.person("bob").dms)
    assert attempts[0] in ("first", "0")
    assert attempts[1] == "1"


async def test_forged_payloads_arrive_properly_signed(bot: Running) -> None:
    seen: list[dict[str, Any]] = []

    @bot.app.middleware
    async def note(body: dict[str, Any], next: Any) -> None:
        seen.append(body)
        await next()

    await bot.client.chat_postMessage(channel="C0APPROVALS", text="ask", blocks=card("x"))
    message = bot.workspace.channel("C0APPROVALS").messages[0]
    await bot.workspace.person("bob").click(message, "Yes")
    forged = seen[0] | {"user": {"id": "U0DAN", "team_id": "T0OTHER"}}
    assert (await bot.workspace.raw_interaction(forged)).ok
    assert seen[1]["user"]["team_id"] == "T0OTHER"
    form = {"command": "/ask", "text": "help", "team_id": "T0OTHER", "user_id": "U0MALLORY"}
    assert (await bot.workspace.raw_command(form)).text == "Type /ask."
    assert bot.workspace.problems == []


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"response_action": "errors", "errors": {"nowhere": "?"}}, "are not about inputs"),
        ({"response_action": "explode"}, "unknown response_action"),
        ({"response_action": "update", "view": {"type": "modal"}}, "missing required field"),
        ({"text": "thanks"}, "which means nothing"),
    ],
)
async def test_answers_to_forms_that_slack_refuses(
    bot: Running, answer: dict[str, Any], problem: str
) -> None:
    @bot.app.view("strange")
    async def strange(ack: Any) -> None:
        await ack(answer)

    view = modal(field("why", "Why"), callback_id="strange")
    await bot.client.views_open(trigger_id=bot.workspace.views.trigger("U0ALICE"), view=view)
    form = await bot.workspace.person("alice").modal()
    form.fill({"Why": "it broke"})
    await form.submit()
    assert problem in bot.workspace.problems[0]


async def test_forms_lead_to_forms(bot: Running) -> None:
    @bot.app.view("first")
    async def first(ack: Any) -> None:
        await ack(response_action="push", view=modal(field("more", "More"), title="Next", callback_id="next"))

    @bot.app.view("next")
    async def second(ack: Any) -> None:
        await ack(response_action="clear")

    view = modal(field("why", "Why"), callback_id="first")
    await bot.client.views_open(trigger_id=bot.workspace.views.trigger("U0ALICE"), view=view)
    alice = bot.workspace.person("alice")
    form = await alice.modal()
    form.fill({"Why": "it broke"})
    assert not (await form.submit()).closed
    following = await alice.modal()
    assert following.title == "Next"
    following.fill({"More": "much"})
    assert (await following.submit()).closed
    assert alice.modal_now is None
    assert bot.workspace.problems == []
