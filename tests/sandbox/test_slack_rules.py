"""The workspace refuses what Slack refuses, by Slack's names."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from sandbox.slack.person import CannotDo
from sandbox.slack.web_api import METHODS
from sandbox.slack.workspace import NeverHappened, Workspace
from tests.sandbox.tiny_bot import MANIFEST, Running, button, field, modal, plain, section, start


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def bot(clock: Clock) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        yield await start(stack, "socket", clock=clock)


async def refusal(bot: Running, method: str, **args: Any) -> str:
    reads = method in METHODS and not METHODS[method].takes_json
    how: dict[str, Any] = {"http_verb": "GET", "params": args} if reads else {"json": args}
    with pytest.raises(SlackApiError) as caught:
        await bot.client.api_call(method, **how)
    return str(caught.value.response["error"])


def manifest_without(*scopes: str) -> dict[str, Any]:
    manifest = copy.deepcopy(MANIFEST)
    granted: list[str] = manifest["oauth_config"]["scopes"]["bot"]
    manifest["oauth_config"]["scopes"]["bot"] = [s for s in granted if s not in scopes]
    return manifest


def grant(bot: Running, *scopes: str) -> None:
    manifest = bot.workspace.manifest
    bot.workspace.manifest = replace(manifest, scopes=(*manifest.scopes, *scopes))


# Tokens, methods, scopes


@pytest.mark.parametrize(
    ("token", "error"),
    [("xoxb-wrong", "invalid_auth"), ("", "not_authed"), ("app", "not_allowed_token_type")],
)
async def test_tokens_are_checked(bot: Running, token: str, error: str) -> None:
    token = bot.workspace.app_token if token == "app" else token
    client = AsyncWebClient(token=token, base_url=bot.server.api_url)
    with pytest.raises(SlackApiError, match=error):
        await client.chat_postMessage(channel="C0ORDERS", text="hello")


async def test_the_bot_token_opens_no_socket(bot: Running) -> None:
    assert await refusal(bot, "apps.connections.open") == "not_allowed_token_type"


async def test_an_unknown_method_is_a_problem(bot: Running) -> None:
    assert await refusal(bot, "chat.shout") == "unknown_method"
    assert bot.workspace.problems == ["unknown method chat.shout"]


async def test_scopes_come_from_the_manifest() -> None:
    async with AsyncExitStack() as stack:
        bot = await start(stack, "socket", manifest_without("users:read"))
        with pytest.raises(SlackApiError) as caught:
            await bot.client.users_info(user="U0BOB")
        assert caught.value.response["error"] == "missing_scope"
        assert caught.value.response["needed"] == "users:read"
        assert "chat:write" in caught.value.response["provided"]
        who = await bot.client.auth_test()
        assert who.headers["x-oauth-scopes"].split(",") == list(bot.workspace.manifest.scopes)
        assert bot.workspace.problems == ["users.info: missing_scope users:read"]


async def test_addresses_take_a_scope_of_their_own(bot: Running) -> None:
    user = await bot.client.users_info(user="U0BOB")
    assert "email" not in user["user"]["profile"]
    assert await refusal(bot, "users.lookupByEmail", email="bob@northwind.example") == "missing_scope"


def test_a_manifest_that_slack_would_not_take() -> None:
    manifest = manifest_without("commands", "usergroups:read")
    manifest["features"]["shortcuts"][0]["name"] = "A name that is far too long"
    assert Workspace(manifest).problems == [
        "manifest: shortcut name 'A name that is far too long' is longer than 24",
        "manifest: slash commands and shortcuts need the scope commands",
        "manifest: event subteam_members_changed needs the scope usergroups:read",
    ]


# Who may write where


async def test_places_where_the_bot_cannot_write(bot: Running) -> None:
    post = {"text": "hello"}
    assert await refusal(bot, "chat.postMessage", channel="C0GENERAL", **post) == "not_in_channel"
    assert await refusal(bot, "chat.postMessage", channel="C0NOWHERE", **post) == "channel_not_found"
    assert await refusal(bot, "chat.postMessage", channel="U0EVE", **post) == "channel_not_found"
    bot.workspace.archive("C0ORDERS")
    assert await refusal(bot, "chat.postMessage", channel="C0ORDERS", **post) == "is_archived"
    bot.workspace.remove_bot("C0APPROVALS")
    assert await refusal(bot, "chat.postMessage", channel="C0APPROVALS", **post) == "not_in_channel"


async def test_a_private_channel_does_not_exist_for_others(bot: Running) -> None:
    bot.workspace.channel("C0GENERAL").is_private = True
    assert await refusal(bot, "chat.postMessage", channel="C0GENERAL", text="hello") == "channel_not_found"
    assert await refusal(bot, "conversations.info", channel="C0GENERAL") == "channel_not_found"


async def test_whispering_takes_a_member(bot: Running) -> None:
    bot.workspace.remove_member("C0ORDERS", "dan")
    said = {"channel": "C0ORDERS", "user": "U0DAN", "text": "psst"}
    assert await refusal(bot, "chat.postEphemeral", **said) == "user_not_in_channel"


async def test_only_its_own_messages_while_they_are_there(bot: Running) -> None:
    hers = await bot.workspace.person("alice").say("C0ORDERS", "mine")
    args = {"channel": "C0ORDERS", "text": "changed"}
    assert await refusal(bot, "chat.update", ts=hers.ts, **args) == "cant_update_message"
    assert await refusal(bot, "chat.delete", ts=hers.ts, channel="C0ORDERS") == "cant_delete_message"
    assert await refusal(bot, "chat.update", ts="1.000001", **args) == "message_not_found"
    own = await bot.client.chat_postMessage(channel="C0ORDERS", text="ours")
    assert (
        await refusal(bot, "chat.update", ts=own["ts"], channel="C0ORDERS", text="x" * 4001) == "msg_too_long"
    )
    bot.workspace.delete_message(bot.workspace.channel("C0ORDERS").messages[-1])
    assert await refusal(bot, "chat.update", ts=own["ts"], **args) == "message_not_found"


async def test_an_update_without_blocks_drops_them(bot: Running) -> None:
    own = await bot.client.chat_postMessage(channel="C0ORDERS", text="old", blocks=[section("*old*")])
    await bot.client.chat_update(channel="C0ORDERS", ts=own["ts"], text="new")
    message = bot.workspace.channel("C0ORDERS").messages[0]
    assert (message.blocks, message.readable, message.history[0].readable) == ([], "new", "old")


async def test_a_user_id_means_their_direct_messages(bot: Running) -> None:
    posted = await bot.client.chat_postMessage(channel="U0BOB", text="psst")
    opened = await bot.client.conversations_open(users="U0BOB")
    assert posted["channel"] == opened["channel"]["id"]
    assert [m.text for m in bot.workspace.person("bob").dms()] == ["psst"]


async def test_one_message_a_second_when_asked_for(bot: Running, clock: Clock) -> None:
    bot.workspace.rate_limits = True
    await bot.client.chat_postMessage(channel="C0ORDERS", text="one")
    with pytest.raises(SlackApiError) as caught:
        await bot.client.chat_postMessage(channel="C0ORDERS", text="two")
    assert (caught.value.response.status_code, caught.value.response.headers["Retry-After"]) == (429, "1")
    await bot.client.chat_postMessage(channel="C0APPROVALS", text="elsewhere")
    clock.now += 1
    await bot.client.chat_postMessage(channel="C0ORDERS", text="two")


async def test_a_burst_is_taken_at_once_and_then_one_message_a_second(bot: Running, clock: Clock) -> None:
    bot.workspace.rate_limits, bot.workspace.burst = True, 3
    for text in ("one", "two", "three"):
        await bot.client.chat_postMessage(channel="C0ORDERS", text=text)
    for text in ("four", "five"):
        with pytest.raises(SlackApiError):
            await bot.client.chat_postMessage(channel="C0ORDERS", text=text)
        clock.now += 1
        await bot.client.chat_postMessage(channel="C0ORDERS", text=text)


# What may be written


def _many(count: int) -> list[dict[str, Any]]:
    return [{"type": "divider"}] * count


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        (_many(51), "0 to 50 items"),
        ([section("x" * 3001)], "less than 3001 characters"),
        ([section("")], "more than 0 characters"),
        ([{"type": "section"}], "text or fields"),
        ([{"type": "header", "text": plain("x" * 151)}], "less than 151 characters"),
        ([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}], "must be plain_text"),
        ([{"type": "context", "elements": [plain("x")] * 11}], "1 to 10 items"),
        ([{"type": "actions", "elements": []}], "1 to 25 items"),
        ([{"type": "actions", "elements": [button("x" * 76, "1")]}], "less than 76 characters"),
        ([{"type": "actions", "elements": [button("x", "1" * 2001)]}], "less than 2001 characters"),
        ([{"type": "actions", "elements": [button("x", "1", style="red")]}], "style must be"),
        ([{"type": "actions", "elements": [button("x", "1", colour="red")]}], "additional property: colour"),
        ([{"type": "actions", "elements": [button("x", "1"), button("y", "2")]}], "action_id in None"),
        ([{"type": "actions", "elements": [{"type": "knob"}]}], "unsupported type: knob"),
        ([{"type": "actions", "elements": [{"type": "plain_text_input"}]}], "unsupported type"),
        ([{"type": "marquee"}], "unsupported type: marquee"),
        ([{"type": "alert", "text": plain("only in modals")}], "unsupported type: alert"),
        ([{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}], "block_id is not"),
        ([{"type": "section", "text": plain("x"), "fields": [plain("x" * 2001)]}], "less than 2001"),
        ([{"type": "actions", "elements": [button("x", "1", confirm={"title": plain("?")})]}], "field: text"),
        ([field("a", "Name", max_length=3001)], "min_length and max_length"),
        ([field("a", "x" * 2001)], "less than 2001 characters"),
    ],
)
async def test_blocks_that_slack_refuses(bot: Running, blocks: list[dict[str, Any]], complaint: str) -> None:
    with pytest.raises(SlackApiError) as caught:
        await bot.client.chat_postMessage(channel="C0ORDERS", text="hello", blocks=blocks)
    assert caught.value.response["error"] == "invalid_blocks"
    assert complaint in " ".join(caught.value.response["errors"])
    assert len(bot.workspace.problems) == 1
    assert bot.workspace.channel("C0ORDERS").messages == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "1 to 100 items"),
        ([{"text": plain("x" * 76), "value": "1"}], "less than 76 characters"),
        ([{"text": plain("x"), "value": ""}], "more than 0 characters"),
        ([{"text": plain("x")}], "missing required field: value"),
    ],
)
async def test_options_that_slack_refuses(bot: Running, options: list[Any], complaint: str) -> None:
    select = {"type": "static_select", "action_id": "a", "options": options}
    blocks = [{"type": "actions", "elements": [select]}]
    with pytest.raises(SlackApiError) as caught:
        await bot.client.chat_postMessage(channel="C0ORDERS", text="hello", blocks=blocks)
    assert complaint in " ".join(caught.value.response["errors"])


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({}, "no_text"),
        ({"text": "hello", "metadata": {"event_type": "x"}}, "invalid_metadata_schema"),
        ({"text": "hello", "metadata": {"kind": "x"}}, "invalid_metadata_format"),
        ({"text": "hello", "blocks": "not JSON"}, "invalid_blocks_format"),
    ],
)
async def test_messages_that_slack_refuses(bot: Running, args: dict[str, Any], error: str) -> None:
    assert await refusal(bot, "chat.postMessage", channel="C0ORDERS", **args) == error
    assert bot.workspace.problems != []


async def test_legal_but_wrong(bot: Running) -> None:
    with pytest.warns(UserWarning, match="text"):
        await bot.client.chat_postMessage(channel="C0ORDERS", blocks=[section("no text")])
    await bot.client.chat_postMessage(channel="C0ORDERS", text="<!channel> wake up")
    assert [problem.split(":")[0] for problem in bot.workspace.problems] == [
        "blocks without text",
        "a message that pings everybody",
    ]


async def test_metadata_is_kept_for_those_who_ask(bot: Running) -> None:
    metadata = {"event_type": "asked", "event_payload": {"id": "1"}}
    await bot.client.chat_postMessage(channel="U0BOB", text="hello", metadata=metadata)
    read = await bot.client.conversations_history(channel="D0BOB", include_all_metadata=True)
    assert read["messages"][0]["metadata"] == metadata
    read = await bot.client.conversations_history(channel="D0BOB")
    assert read["messages"][0]["metadata"] == {"event_type": "asked", "event_payload": {}}
    assert bot.workspace.person("bob").dms()[0].metadata == metadata


# Reading what was said


async def texts(answer: Any) -> list[str]:
    return [message["text"] async for page in answer for message in page["messages"]]


async def test_history_is_the_newest_first_and_a_thread_the_oldest_first(bot: Running) -> None:
    say, read = bot.client.chat_postMessage, bot.client.conversations_history
    top = (await say(channel="U0BOB", text="one"))["ts"]
    for text in ("two", "three", "four"):
        await say(channel="U0BOB", text=text)
        await say(channel="U0BOB", text=f"{text} to one", thread_ts=top)
    assert await texts(await read(channel="D0BOB", limit=2)) == ["four", "three", "two", "one"]
    thread = ["one", "two to one", "three to one", "four to one"]
    assert await texts(await bot.client.conversations_replies(channel="D0BOB", ts=top, limit=2)) == thread
    assert (await read(channel="D0BOB", limit=2))["has_more"] is True
    assert (await read(channel="D0BOB", limit=4))["has_more"] is False
    assert await texts(await read(channel="D0BOB", oldest=top)) == ["four", "three", "two"]
    same = await read(channel="D0BOB", oldest=top, latest=top, inclusive=True)
    assert await texts(same) == ["one"]
    assert same["messages"][0]["bot_id"] == bot.workspace.bot_id


async def test_a_deleted_message_leaves_its_place_where_its_thread_goes_on(bot: Running) -> None:
    say, read = bot.client.chat_postMessage, bot.client.conversations_history
    top = (await say(channel="U0BOB", text="one"))["ts"]
    gone = (await say(channel="U0BOB", text="two"))["ts"]
    await say(channel="U0BOB", text="to one", thread_ts=top)
    for ts in (top, gone):
        await bot.client.chat_delete(channel="D0BOB", ts=ts)
    left = (await read(channel="D0BOB"))["messages"]
    assert [(message["ts"], message["subtype"]) for message in left] == [(top, "tombstone")]
    assert await refusal(bot, "conversations.replies", channel="D0BOB", ts=gone) == "thread_not_found"


async def test_what_only_one_person_sees_is_in_no_history(bot: Running) -> None:
    grant(bot, "channels:history")
    await bot.client.chat_postEphemeral(channel="C0ORDERS", user="U0BOB", text="hush")
    assert (await bot.client.conversations_history(channel="C0ORDERS"))["messages"] == []


async def test_reading_needs_the_scope_and_the_channel(bot: Running) -> None:
    assert await refusal(bot, "conversations.history", channel="C0ORDERS") == "missing_scope"
    assert bot.workspace.problems == ["conversations.history: missing_scope channels:history"]
    grant(bot, "channels:history", "groups:history")
    for method in ("conversations.history", "conversations.replies"):
        assert await refusal(bot, method, channel="C0NONE", ts="1.0") == "channel_not_found"
        assert await refusal(bot, method, channel="C0GENERAL", ts="1.0") == "not_in_channel"
    bot.workspace.channels["C0GENERAL"].is_private = True
    assert await refusal(bot, "conversations.history", channel="C0GENERAL") == "channel_not_found"
    bot.workspace.fail_next("conversations.history", "ratelimited", retry_after=7)
    assert await refusal(bot, "conversations.history", channel="C0ORDERS") == "ratelimited"


async def test_what_only_reads_overlooks_a_json_body(bot: Running) -> None:
    with pytest.raises(SlackApiError, match="invalid_arguments"):
        await bot.client.api_call("users.info", json={"user": "U0BOB"})
    assert bot.workspace.problems[0] == "users.info: a JSON body is not read; send a query or a form"


async def test_answers_carry_the_time_of_this_slack(bot: Running, clock: Clock) -> None:
    bot.workspace.clock_offset = 120.0
    answer = await bot.client.auth_test()
    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == clock.now + 120


# Views


def _view(**changes: Any) -> dict[str, Any]:
    return {**modal(field("why", "Why")), **changes}


@pytest.mark.parametrize(
    ("view", "complaint"),
    [
        (_view(title=plain("x" * 25)), "less than 25 characters"),
        (_view(submit=plain("x" * 25)), "less than 25 characters"),
        (_view(submit=None), "submit is required"),
        (_view(private_metadata="x" * 3001), "less than 3001 characters"),
        (_view(callback_id="x" * 256), "less than 256 characters"),
        (_view(blocks=_many(101)), "1 to 100 items"),
        (_view(blocks=[]), "must have blocks"),
        (_view(colour="red"), "additional property: colour"),
        ({"type": "home", "blocks": [section("hello")]}, "must be a view of type modal"),
    ],
)
async def test_views_that_slack_refuses(bot: Running, view: dict[str, Any], complaint: str) -> None:
    trigger = bot.workspace.views.trigger("U0ALICE")
    with pytest.raises(SlackApiError) as caught:
        await bot.client.views_open(trigger_id=trigger, view=view)
    assert caught.value.response["error"] == "invalid_arguments"
    assert complaint in " ".join(caught.value.response["errors"])


async def test_a_trigger_is_good_once_for_three_seconds(bot: Running, clock: Clock) -> None:
    trigger = bot.workspace.views.trigger("U0ALICE")
    await bot.client.views_open(trigger_id=trigger, view=_view())
    assert await refusal(bot, "views.open", trigger_id=trigger, view=_view()) == "exchanged_trigger_id"
    late = bot.workspace.views.trigger("U0ALICE")
    clock.now += 3.1
    assert await refusal(bot, "views.open", trigger_id=late, view=_view()) == "expired_trigger_id"
    assert await refusal(bot, "views.open", trigger_id="1.2.3", view=_view()) == "invalid_trigger_id"


async def test_three_modals_on_top_of_each_other(bot: Running) -> None:
    views = bot.workspace.views
    await bot.client.views_open(trigger_id=views.trigger("U0ALICE"), view=_view())
    assert (
        await refusal(bot, "views.push", trigger_id=views.trigger("U0ALICE"), view=_view())
        == "invalid_trigger_id"
    )
    for _ in range(2):
        trigger = views.trigger("U0ALICE", views.top("U0ALICE"))
        await bot.client.views_push(trigger_id=trigger, view=_view())
    trigger = views.trigger("U0ALICE", views.top("U0ALICE"))
    assert await refusal(bot, "views.push", trigger_id=trigger, view=_view()) == "push_limit_reached"
    await (await bot.workspace.person("alice").modal()).close()
    assert len(views.stacks["U0ALICE"]) == 2


async def test_what_is_stale_is_not_overwritten(bot: Running) -> None:
    home = {"type": "home", "blocks": [section("hello")]}
    first = await bot.client.views_publish(user_id="U0BOB", view=home)
    await bot.client.views_publish(user_id="U0BOB", view=home, hash=first["view"]["hash"])
    stale = {"user_id": "U0BOB", "view": home, "hash": first["view"]["hash"]}
    assert await refusal(bot, "views.publish", **stale) == "hash_conflict"
    opened = await bot.client.views_open(trigger_id=bot.workspace.views.trigger("U0BOB"), view=_view())
    view_id = opened["view"]["id"]
    assert await refusal(bot, "views.update", view_id=view_id, view=_view(), hash="1.x") == "hash_conflict"
    await (await bot.workspace.person("bob").modal()).close()
    assert await refusal(bot, "views.update", view_id=view_id, view=_view()) == "not_found"


async def test_an_external_id_is_there_once(bot: Running) -> None:
    view = _view(external_id="only-one")
    await bot.client.views_open(trigger_id=bot.workspace.views.trigger("U0BOB"), view=view)
    trigger = bot.workspace.views.trigger("U0ALICE")
    assert await refusal(bot, "views.open", trigger_id=trigger, view=view) == "duplicate_external_id"


# People


async def test_nothing_undeclared_is_delivered(bot: Running) -> None:
    alice = bot.workspace.person("alice")
    assert (await alice.command("/shout")).error == "unknown_command"
    assert (await alice.shortcut("ask_this")).error == "unknown_shortcut"  # that one is for messages
    assert bot.workspace.problems == [
        "/shout is not declared in the manifest",
        "global shortcut ask_this is not declared in the manifest",
    ]


async def test_outsiders_press_buttons_but_have_no_commands(bot: Running) -> None:
    eve = bot.workspace.person("eve")
    assert (await eve.command("/ask", channel="C0APPROVALS")).error == "not_available_to_other_teams"
    blocks = [{"type": "actions", "elements": [button("Yes", "1")]}]
    await bot.client.chat_postMessage(channel="C0APPROVALS", text="ask", blocks=blocks)
    card = bot.workspace.channel("C0APPROVALS").messages[0]
    assert (await eve.click(card, "Yes")).ok
    user = await bot.client.users_info(user="U0EVE")
    assert (user["user"]["is_stranger"], user["user"]["team_id"]) == (True, "T0OTHER")
    members = await bot.client.users_list()
    assert "U0EVE" not in [m["id"] for m in members["members"]]


async def test_people_are_where_they_are(bot: Running) -> None:
    with pytest.raises(CannotDo, match="not in orders"):
        await bot.workspace.person("eve").command("/ask", channel="C0ORDERS")
    bot.workspace.deactivate("bob")
    with pytest.raises(CannotDo, match="deactivated"):
        await bot.workspace.person("bob").command("/ask")
    group = await bot.client.usergroups_users_list(usergroup="S0ONCALL")
    assert group["users"] == ["U0CAROL", "U0DAN"]
    assert await refusal(bot, "usergroups.users.list", usergroup="S0NONE") == "no_such_subteam"


async def test_typed_text_is_escaped_when_the_manifest_says_so(bot: Running) -> None:
    seen: list[str] = []

    @bot.app.middleware
    async def note(body: dict[str, Any], next: Any) -> None:
        seen.append(body.get("text", ""))
        await next()

    await bot.workspace.person("alice").command("/ask", "help @bob in #orders <!channel> & co")
    assert seen == ["help <@U0BOB|bob> in <#C0ORDERS|orders> &lt;!channel&gt; &amp; co"]


async def test_lists_come_in_pages(bot: Running) -> None:
    names: list[str] = []
    async for page in await bot.client.conversations_members(channel="C0APPROVALS", limit=2):
        assert len(page["members"]) <= 2
        names += page["members"]
    assert names == bot.workspace.channel("C0APPROVALS").members


# Other doors


async def test_response_urls_are_good_five_times_in_half_an_hour(bot: Running, clock: Clock) -> None:
    urls = bot.workspace.response_urls
    url, late = urls.new("C0ORDERS", "U0ALICE"), urls.new("C0ORDERS", "U0ALICE")
    async with aiohttp.ClientSession() as session:

        async def answer(where: str) -> int:
            async with session.post(where, json={"text": "hello"}) as response:
                return response.status

        assert [await answer(url) for _ in range(6)] == [200] * 5 + [404]
        clock.now += 1801
        assert await answer(late) == 404
    assert len(bot.workspace.person("alice").ephemerals()) == 5


async def test_only_this_machine_is_served(bot: Running) -> None:
    async with aiohttp.ClientSession() as session:
        elsewhere = {"Host": "evil.example"}
        async with session.get(bot.server.url + "/control/state", headers=elsewhere) as response:
            assert response.status == 403
        async with session.post(bot.server.url + "/control/say", data={"as": "alice"}) as response:
            assert response.status == 415


async def test_waiting_in_vain_shows_what_there_was(bot: Running) -> None:
    await bot.workspace.person("alice").say("C0ORDERS", "is anybody there?")
    with pytest.raises(NeverHappened, match=r"Alice:\n  is anybody there\?"):
        await bot.workspace.wait_until(lambda: False, timeout=0.01)


async def test_a_thread_outlives_its_first_message(bot: Running) -> None:
    posted = await bot.client.chat_postMessage(channel="C0ORDERS", text="card")
    orders = bot.workspace.channel("C0ORDERS")
    bot.workspace.delete_message(orders.messages[0])
    assert orders.messages == []
    await bot.client.chat_postMessage(channel="C0ORDERS", text="reply", thread_ts=posted["ts"])
    assert bot.workspace.transcript("C0ORDERS").splitlines()[1:] == [
        "tiny:",
        "  (deleted)",
        "    tiny:",
        "      reply",
    ]
    assert bot.workspace.problems == []
    reply = orders.messages[0].thread[0]
    await bot.client.chat_postMessage(channel="C0ORDERS", text="to a reply", thread_ts=reply.ts)
    assert bot.workspace.problems == [f"chat.postMessage: thread_ts {reply.ts} tops no thread in C0ORDERS"]


async def test_a_click_on_a_whisper_does_not_repeat_it(bot: Running) -> None:
    seen: list[dict[str, Any]] = []

    @bot.app.middleware
    async def note(body: dict[str, Any], next: Any) -> None:
        seen.append(body)
        await next()

    @bot.app.action("hush")
    async def hush(ack: Any, respond: Any) -> None:
        await ack()
        await respond(text="Hushed.", replace_original=True)

    blocks = [{"type": "actions", "elements": [button("Hush", "1", "hush")]}]
    await bot.client.chat_postEphemeral(channel="C0ORDERS", user="U0BOB", text="psst", blocks=blocks)
    bob = bot.workspace.person("bob")
    await bob.click(bob.ephemerals()[0], "Hush")
    assert "message" not in seen[0]
    assert seen[0]["container"]["is_ephemeral"] is True
    await bob.wait_for_ephemeral(lambda m: m.text == "Hushed.")
    assert len(bob.ephemerals()) == 1
    with pytest.raises(CannotDo, match="does not see"):
        await bot.workspace.person("alice").click(bob.ephemerals()[0].history[0], "Hush")
