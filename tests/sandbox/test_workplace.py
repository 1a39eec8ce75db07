"""The real bot, used by hand in a real browser: what a newcomer does after `make sandbox`."""

from __future__ import annotations

from sandbox.browser import Tab
from sandbox.vendors.vendor import Fault
from tests.conftest import World

ORDER = "123456"
CARD = "#messages article"


async def ask(tab: Tab, place: World, reason: str = "ordered twice") -> None:
    """Alice picks an order in the panel, finishes the command, sends the form, and looks at the card."""
    await tab.go(place.town.url)
    await tab.press("DigiCert", "#vendors")
    await tab.press(ORDER, "[data-vendor=digicert]")
    await tab.run(f"document.getElementById('line').value += {reason!r}")
    await tab.press("Send", "#composer")
    await tab.press("Ask for approval", "#modal")
    await tab.until("!document.getElementById('modal').open")
    await tab.press("# approvals", "#places")
    await tab.until(f"document.querySelector('{CARD} .danger')")


async def become(tab: Tab, who: str) -> None:
    await tab.press(who, "#people")
    await tab.reads(who, "#me")


async def approve(tab: Tab, who: str) -> None:
    await become(tab, who)
    await tab.press("Approve cancellation", CARD)
    await tab.press("Approve cancellation", "#confirm")


async def test_two_people_approve_and_the_order_is_cancelled_once(place: World, tab: Tab) -> None:
    await ask(tab, place)
    await approve(tab, "Bob")
    await tab.reads("1 of 2 approvals", CARD)
    await approve(tab, "Carol")
    await tab.reads("Outcome: cancelled", CARD)
    await tab.reads("cancels received: 1, carried out: 1", "[data-vendor=digicert]")
    assert place.vendor("digicert").sends == [ORDER]
    assert place.vendor("digicert").is_cancelled(ORDER)


async def test_the_requester_reads_privately_that_nobody_approves_their_own_request(
    place: World, tab: Tab
) -> None:
    await ask(tab, place)
    await tab.press("Approve cancellation", CARD)
    await tab.press("Approve cancellation", "#confirm")
    await tab.until("document.querySelector('.whisper').innerText.includes('Only visible to you')")
    await tab.reads("somebody else has to approve it", ".whisper")
    await become(tab, "Bob")
    await tab.until("!document.querySelector('.whisper')")
    assert place.vendor("digicert").sends == []


async def test_somebody_denies_with_a_reason_and_the_form_complains_in_place_without_one(
    place: World, tab: Tab
) -> None:
    await ask(tab, place)
    await become(tab, "Dan")
    await tab.press("Deny", CARD)
    await tab.press("Deny", "#modal .buttons")
    await tab.until("document.querySelector('#modal .wrong .error').innerText.length > 10")
    wrong = "document.querySelector('#modal [aria-invalid]')"
    assert await tab.run(f"{wrong} === document.activeElement")
    about = f"document.getElementById({wrong}.getAttribute('aria-describedby')).innerText"
    assert len(await tab.run(about)) > 10
    await tab.fill("#modal textarea", "It is the one we keep.")
    await tab.press("Deny", "#modal .buttons")
    await tab.reads("denied", CARD)
    await tab.until(f"!document.querySelector('{CARD} .danger')")
    assert place.vendor("digicert").sends == []


async def test_a_wrong_reference_is_told_at_its_field_and_what_was_typed_stays(
    place: World, tab: Tab
) -> None:
    await tab.go(place.town.url)
    await tab.fill("#line", "/cancel-order digicert not-a-number because I say so")
    await tab.press("Send", "#composer")
    await tab.press("Ask for approval", "#modal")
    await tab.until("document.querySelector('#modal .wrong input').value === 'not-a-number'")
    await tab.until("document.querySelector('#modal .wrong .error').innerText.length > 10")
    assert await tab.run("document.querySelector('#modal textarea').value") == "because I say so"
    assert place.cards == []


async def test_what_happened_is_in_the_thread_beside_and_people_can_reply_there(
    place: World, tab: Tab
) -> None:
    await ask(tab, place)
    await tab.until("document.querySelector('.replies')")
    await tab.press("1 reply", ".said")
    await tab.reads("Please decide", "#replies")
    await approve(tab, "Bob")
    await tab.reads("@Bob approved (1 of 2)", "#replies")
    await tab.fill("#reply", "Which one is the twin?")
    await tab.press("Send", "#answer")
    await tab.reads("Which one is the twin?", "#replies")
    assert place.cards[0].thread[-1].text == "Which one is the twin?"
    assert len(place.cards) == 1
    await tab.key("Escape", 27)
    await tab.until("document.getElementById('thread').hidden")


async def test_who_is_called_sees_it_on_the_channel_and_on_their_name(place: World, tab: Tab) -> None:
    await ask(tab, place)
    await tab.until("document.querySelector('#people button[data-focus=U0BOB] .badge')")
    await tab.press("# general", "#places")
    await become(tab, "Bob")
    await tab.until("document.querySelector('#channels [data-focus=C0APPROVALS].unread .badge')")
    await tab.press("# approvals", "#places")
    await tab.until("!document.querySelector('#channels .badge')")


async def test_a_lost_answer_is_called_unknown_and_then_found_out(place: World, tab: Tab) -> None:
    await ask(tab, place)
    await tab.press("Lose the next answer", "[data-vendor=digicert]")
    await tab.reads("Next: Lose the next answer", "[data-vendor=digicert]")
    await approve(tab, "Bob")
    await tab.reads("1 of 2 approvals", CARD)
    await approve(tab, "Dan")
    await tab.reads("outcome unknown, checking", CARD)
    await tab.reads("Outcome: cancelled", CARD)
    await tab.reads("cancels received: 1, carried out: 1", "[data-vendor=digicert]")
    await tab.press("Wire", "#panel-tabs")
    await tab.reads("lose answer", "#calls")


async def test_the_approval_of_somebody_who_left_the_on_call_group_counts_no_more(
    place: World, tab: Tab
) -> None:
    await ask(tab, place)
    await approve(tab, "Dan")
    await tab.reads("1 of 2 approvals", CARD)
    await tab.press("People", "#panel-tabs")
    on_call = "document.querySelector('[data-person=U0DAN] input')"
    await tab.until(on_call)
    await tab.run(f"{on_call}.click()")
    await place.workspace.wait_until(lambda: "U0DAN" not in place.workspace.groups["S0ONCALL"].users)
    await approve(tab, "Bob")
    await tab.reads("Approved so far: @Bob. 1 more needed", CARD)
    assert place.vendor("digicert").sends == []


async def test_an_email_that_the_provider_waits_for_is_approved_in_the_panel(place: World, tab: Tab) -> None:
    vendor = place.vendor("servertastic")
    token = vendor.samples["issued"]
    await place.asked("alice", "servertastic", token)
    await tab.go(f"{place.town.url}/?place=C0APPROVALS")
    await approve(tab, "Bob")
    await tab.reads("1 of 2 approvals", CARD)
    await approve(tab, "Carol")
    await tab.press("Servertastic", "#vendors")
    await tab.press("Approve the e-mail", "[data-vendor=servertastic]")
    await vendor.wait_until(lambda: vendor.is_cancelled(token))
    await tab.reads("Cancelled", "[data-vendor=servertastic] .orders")


async def test_the_wire_shows_the_calls_both_ways_and_no_token(place: World, tab: Tab) -> None:
    await ask(tab, place)
    await tab.press("Wire", "#panel-tabs")
    await tab.reads("views.open", "#calls")
    await tab.reads("/cancel-order", "#calls")
    await tab.reads("GET /order/certificate/123456", "#calls")
    await tab.run("document.querySelectorAll('#calls summary').forEach((each) => each.click())")
    await tab.reads("private_metadata", "#calls")
    shown = await tab.run("document.getElementById('calls').textContent")
    workspace = place.workspace
    secrets = {workspace.bot_token, workspace.app_token, workspace.signing_secret}
    secrets |= {workspace.verification_token, place.vendor("digicert").credentials()["DIGICERT_API_KEY"]}
    assert "••••" in shown
    assert [secret for secret in secrets if secret in shown] == []


async def test_on_a_phone_everything_is_one_column_and_the_job_can_be_done(place: World, tab: Tab) -> None:
    await tab.resize(390, 844)
    await tab.go(place.town.url)
    await tab.fill("#line", "/cancel-order digicert 123456 ordered twice")
    await tab.press("Send", "#composer")
    await tab.press("Ask for approval", "#modal")
    await tab.until("!document.getElementById('modal').open")
    await tab.run("document.getElementById('drawer').click()")
    await tab.press("# approvals", "#places")
    await tab.until("getComputedStyle(document.getElementById('places')).visibility === 'hidden'")
    await tab.until(f"document.querySelector('{CARD} .danger')")
    assert await tab.run("document.documentElement.scrollWidth") <= 390
    wide = (
        "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > 391).length"
    )
    assert await tab.run(wide) == 0
    await tab.until("document.querySelector('.replies')")
    await tab.press("1 reply", ".said")
    await tab.until(
        "!document.querySelector('main').offsetParent && document.getElementById('replies').offsetParent"
    )
    await tab.run("document.getElementById('thread-close').click()")
    await tab.run(f"document.querySelector('{CARD} [data-focus]').focus()")
    for who in ("U0BOB", "U0CAROL"):
        await tab.run(f"document.querySelector('#people [data-focus={who}]').click()")
        await tab.until(f"document.querySelector('#people [aria-pressed=true]').dataset.focus === '{who}'")
        await tab.press("Approve cancellation", CARD)
        await tab.press("Approve cancellation", "#confirm")
        await tab.until("!document.querySelector('#confirm[open]')")
        await tab.reads("1 of 2 approvals" if who == "U0BOB" else "Outcome: cancelled", CARD)


async def test_on_a_phone_the_header_stays_over_what_is_behind_the_scenes(place: World, tab: Tab) -> None:
    await tab.resize(390, 844)
    await tab.go(place.town.url)
    shown = "document.getElementById('panel').offsetParent"
    if not await tab.run(f"!!{shown}"):
        await tab.run("document.getElementById('backstage').click()")
    await tab.until(shown)
    for part in ("body > header", "#panel"):
        assert await tab.run(f"document.querySelector('{part}').getBoundingClientRect().width") == 390, part
    assert await tab.run("document.querySelector('.team').getBoundingClientRect().width") > 40


async def test_each_person_decides_on_their_own_home_tab(place: World, tab: Tab) -> None:
    await ask(tab, place)
    await tab.press("countersign", "#apps")
    await tab.press("Home", "#tabs")
    await tab.reads(ORDER, "#home .home")
    await tab.until("!document.querySelector('#home .danger')")  # Alice cannot approve her own
    await become(tab, "Bob")
    await tab.press("Approve cancellation", "#home")
    await tab.press("Approve cancellation", "#confirm")
    await place.reads(place.cards[0], "1 of 2 approvals")


async def test_a_pasted_list_is_approved_at_once_and_its_card_tells_how_far_it_is(
    place: World, tab: Tab
) -> None:
    vendor = place.vendor("digicert")
    orders = [vendor.new_order() for _ in range(5)]
    await tab.resize(390, 844)
    await tab.go(place.town.url)
    await tab.fill("#line", "/cancel-order digicert")
    await tab.press("Send", "#composer")
    await tab.press("Several at once", "#modal")
    await tab.until("document.querySelectorAll('#modal textarea').length === 3")
    boxes = "document.querySelectorAll('#modal textarea')"
    for box, text in ((0, "\n".join(orders)), (2, "ordered twice")):
        await tab.run(f"{boxes}[{box}].id = 'box-{box}'")
        await tab.fill(f"#box-{box}", text)
    await tab.press("Ask for approval", "#modal")
    await tab.until("!document.getElementById('modal').open")
    await tab.go(f"{place.town.url}/?as=bob&place=C0APPROVALS")
    await tab.reads("This cancels 5 orders and cannot be undone", CARD)
    await tab.press("Details", CARD)
    await tab.reads(f"order ID {orders[4]}", "#modal")
    await tab.press("Close", "#modal")
    assert await tab.run("document.documentElement.scrollWidth") <= 390
    vendor.fail_next(Fault.REJECT, on="cancel")
    for who in ("U0BOB", "U0CAROL"):
        await tab.run(f"document.querySelector('#people [data-focus={who}]').click()")
        await tab.until(f"document.querySelector('#people [aria-pressed=true]').dataset.focus === '{who}'")
        await tab.press("Approve cancellation", CARD)
        await tab.reads("Approve 5 orders?", "#confirm")
        await tab.press("Approve cancellation", "#confirm")
        await tab.reads("1 of 2 approvals" if who == "U0BOB" else "Outcome: 4 cancelled and 1 refused", CARD)
    assert sorted(vendor.sends) == orders
