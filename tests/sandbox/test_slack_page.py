"""The page in a real browser, with the smallest bot: what any app would find there."""

from __future__ import annotations

import aiohttp
import pytest

from sandbox.browser import Tab
from tests.sandbox.tiny_bot import Running, button, card, section


async def ask(tab: Tab, tiny: Running) -> None:
    await tab.go(tiny.server.url)
    await tab.fill("#line", "/ask")
    await tab.press("Send", "#composer")
    await tab.until("document.getElementById('modal').open")


async def test_a_form_shows_its_errors_in_place_and_nothing_typed_is_taken_for_html(
    tiny: Running, tab: Tab
) -> None:
    await ask(tab, tiny)
    await tab.press("Send", "#modal")  # with nothing in it
    await tab.until("document.querySelectorAll('#modal .error').length === 2")
    await tab.fill("#modal select", "order")
    await tab.fill("[data-key='reference/text']", "42")
    await tab.fill("[data-key='why/text']", "because")
    await tab.press("Send", "#modal")
    await tab.until("document.querySelector('#modal .error').innerText === 'That is no reason.'")
    await tab.fill("[data-key='why/text']", "<img src=x onerror=alert(1)>")
    await tab.press("Send", "#modal")
    await tab.until("!document.getElementById('modal').open")
    await tab.press("Bob", "#people")
    await tab.press("# approvals", "#places")
    await tab.press("Yes, please", "#messages")
    await tab.press("Yes", "#confirm")
    await tab.reads("Only visible to you", ".whisper")
    await tab.press("1 reply", ".said")
    await tab.reads("@Bob said yes.", "#replies")
    assert await tab.run("document.querySelectorAll('#messages .actions, #messages img').length") == 0
    assert tiny.workspace.problems == []


async def test_a_form_is_closed_with_escape_and_the_confirm_dialog_can_be_refused(
    tiny: Running, tab: Tab
) -> None:
    await ask(tab, tiny)
    await tab.key("Escape", 27)
    await tab.until("!document.getElementById('modal').open")
    posted = await tiny.client.chat_postMessage(channel="C0APPROVALS", text="ask", blocks=card("what"))
    await tab.press("# approvals", "#places")
    await tab.press("Yes, please", "#messages")
    await tab.press("No", "#confirm")
    await tab.until("!document.getElementById('confirm').open")
    message = tiny.workspace.channel("C0APPROVALS").find(posted["ts"])
    assert message
    assert message.edited_count == 0


async def test_a_person_is_chosen_with_the_keyboard(tiny: Running, tab: Tab) -> None:
    await tab.go(tiny.server.url)
    await tab.key("3", 51, alt=True)
    await tab.reads("Carol", "#me")


async def test_edits_show_by_themselves_and_unknown_blocks_show_as_errors(tiny: Running, tab: Tab) -> None:
    await tab.go(f"{tiny.server.url}/?place=C0APPROVALS")
    posted = await tiny.client.chat_postMessage(channel="C0APPROVALS", text="ask", blocks=card("what"))
    await tab.reads("Asked: what", "#messages")
    image = {"type": "image", "image_url": "https://example.com/x.png", "alt_text": "x"}
    await tiny.client.chat_update(channel="C0APPROVALS", ts=posted["ts"], text="new", blocks=[image])
    await tab.reads("cannot show the block “image”", ".unknown")


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        pytest.param(
            {"type": "actions", "elements": [{"type": "datepicker", "action_id": "day"}]},
            "the element “datepicker”",
            id="an element",
        ),
        pytest.param({**section("words"), "expand": True}, "the property “section.expand”", id="a property"),
        pytest.param(
            {
                "type": "rich_text",
                "elements": [
                    {"type": "rich_text_section", "elements": [{"type": "color", "value": "#ffffff"}]}
                ],
            },
            "the text “color”",
            id="a part of a text",
        ),
    ],
)
async def test_whatever_else_is_not_known_shows_as_an_error_too(
    tiny: Running, tab: Tab, block: dict[str, object], complaint: str
) -> None:
    await tiny.client.chat_postMessage(channel="C0APPROVALS", text="odd", blocks=[block])
    await tab.go(f"{tiny.server.url}/?place=C0APPROVALS")
    await tab.reads(f"cannot show {complaint}", ".unknown")


async def test_the_home_tab_is_drawn_anew_when_it_is_opened(tiny: Running, tab: Tab) -> None:
    await tab.go(tiny.server.url)
    await tab.press("tiny", "#apps")
    await tab.press("Home", "#tabs")
    await tab.reads("Hello", "#home .home")
    view = {
        "type": "home",
        "blocks": [section("Changed"), {"type": "actions", "elements": [button("Go", "1")]}],
    }
    await tiny.client.views_publish(user_id="U0ALICE", view=view)
    await tab.reads("Changed", "#home .home")
    await tab.press("Messages", "#tabs")
    await tab.until("document.getElementById('home').hidden")


async def test_a_message_has_a_menu_with_the_shortcuts_of_the_app(tiny: Running, tab: Tab) -> None:
    await tab.go(tiny.server.url)
    await tab.fill("#line", "the printer burns")
    await tab.press("Send", "#composer")
    await tab.press("⋯", "#messages article")
    await tab.press("Ask this", "#menu")
    await tab.until("document.querySelector('#modal input').value === 'the printer burns'")
    await tab.press("✕", "#modal")
    await tab.until("!document.getElementById('modal').open")
    await tab.press("⋯", "#messages article")
    await tab.press("Delete", "#menu")
    await tab.until("!document.querySelector('#messages article')")


async def test_a_word_to_the_app_and_its_answer_are_between_the_two(tiny: Running, tab: Tab) -> None:
    await tab.go(tiny.server.url)
    await tab.fill("#line", "@tiny are you there?")
    await tab.press("Send", "#composer")
    await tab.until("document.querySelector('#apps .unread .badge').innerText === '1'")
    await tab.press("tiny", "#apps")
    await tab.reads("You called?", "#messages")
    await tab.press("Bob", "#people")
    await tab.reads("Nothing here yet", "#messages")


async def test_slacks_bad_days_are_a_click_away(tiny: Running, tab: Tab) -> None:
    await tab.go(tiny.server.url)
    await tab.press("Slack", "#panel-tabs")
    await tab.press("500 for the next call", "#slack")
    await tab.reads("Next: 500 for the next call", "#slack")
    assert [fault.status for _, fault in tiny.workspace.faults.planned] == [500]
    await tab.press("Never mind", "#slack")
    await tab.until("!document.querySelector('#slack .planned')")
    outage = "[...document.querySelectorAll('#slack input')][0]"
    await tab.run(f"{outage}.click()")
    await tiny.workspace.wait_until(lambda: tiny.workspace.faults.outage)
    await tab.press("Ask the bot to reconnect", "#slack")
    await tab.reads("tiny is not connected", "header")
    await tab.run(f"{outage}.click()")
    await tab.reads("tiny is connected", "header")


async def test_what_slack_would_complain_about_is_shown(tiny: Running, tab: Tab) -> None:
    await tab.go(tiny.server.url)
    tiny.workspace.problem("blocks without text")
    await tab.reads("blocks without text", "#problems")


async def test_nothing_is_wider_than_a_phone(tiny: Running, tab: Tab) -> None:
    await tiny.client.chat_postMessage(channel="C0APPROVALS", text="ask", blocks=card("long" * 100))
    await tab.resize(390, 800)
    await tab.go(f"{tiny.server.url}/?place=C0APPROVALS")
    await tab.until("document.querySelector('#messages .actions button')")
    assert await tab.run("document.documentElement.scrollWidth") <= 390
    await tab.run("document.getElementById('backstage').click()")
    await tab.until("document.getElementById('panel').offsetParent")
    assert await tab.run("document.documentElement.scrollWidth") <= 390


async def test_other_sites_can_do_nothing_here(tiny: Running) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/control/say", "/backstage/slack", "/backstage/people"):
            form = {"as": "alice", "do": "outage", "on": "1"}
            async with session.post(tiny.server.url + path, data=form) as answer:
                assert answer.status == 415
        async with session.get(f"{tiny.server.url}/", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403
        async with session.get(f"{tiny.server.url}/") as answer:
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
