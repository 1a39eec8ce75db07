"""`python -m sandbox screenshots`: the pictures in docs/, taken of the real bot in the pretend workspace."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from sandbox.browser import Chromium, NoBrowser, Tab
from sandbox.process import ROOT, BotProcess
from sandbox.town import CHANNEL, Town
from sandbox.vendors.vendor import Fault

DOCS = ROOT / "docs"
CARD = "#messages article"
PHONE = (390, 844)


async def take() -> int:
    """Renew all of them; 1, and a sentence on what to install, where there is no Chromium."""
    try:
        chromium = Chromium()
    except NoBrowser as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="countersign-") as folder, chromium:
        async with Town() as town:
            bot = BotProcess(town.environment(Path(folder) / "bot.db", LOG_LEVEL="ERROR"), Path(folder))
            await bot.start("--transport", "socket")
            try:
                await town.workspace.bot_connected(timeout=60)
                await _desktop(chromium, town)
                await _phone(chromium, town)
            finally:
                await bot.stop()
    return 0


async def _desktop(chromium: Chromium, town: Town) -> None:
    async with chromium.tab(1000, 760, scale=1.5) as tab:
        await tab.go(f"{town.url}/?as=alice")
        await tab.run("document.getElementById('panel-close').click()")
        card = await _ask(tab, "digicert 123456 Ordered twice: 123457 is the one we keep")
        await _approve(tab, card, "Bob", "1 of 2 approvals")
        await _save(tab, "card", of=CARD)
        await _home(tab)
    async with chromium.tab(1000, 900, scale=1.5) as tab:
        await _several(tab, town)
    async with chromium.tab(1320, 810) as tab:
        town.vendors["cpanel"].fail_next(Fault.LOSE_ANSWER)
        await tab.go(f"{town.url}/?as=alice&panel=vendors")
        card = await _ask(tab, "cpanel 10427508 The shop moved to another server", form="form")
        await _approve(tab, card, "Carol", "1 of 2 approvals")
        await _approve(tab, card, "Dan", "outcome unknown, checking")
        await tab.until("document.querySelector('.counted')")
        await _save(tab, "workplace")


async def _phone(chromium: Chromium, town: Town) -> None:
    async with chromium.tab(*PHONE, scale=1.5) as tab:
        await tab.go(f"{town.url}/?as=dan&place={CHANNEL}")
        await tab.run(f"document.querySelector('{CARD}').scrollIntoView()")
        await _save(tab, "phone")


async def _several(tab: Tab, town: Town) -> None:
    """A list of orders, after one of them went wrong."""
    vendor = town.vendors["digicert"]
    orders = [vendor.new_order() for _ in range(12)]
    await tab.go(f"{town.url}/?as=alice")
    await tab.run("document.getElementById('panel-close').click()")
    await tab.fill("#line", "/cancel-order digicert")
    await tab.press("Send", "#composer")
    await tab.press("Several at once", "#modal")
    await tab.until("document.querySelectorAll('#modal textarea').length === 3")
    for box, text in ((0, "\n".join(orders)), (2, "The project was stopped")):
        await tab.run(f"document.querySelectorAll('#modal textarea')[{box}].id = 'box-{box}'")
        await tab.fill(f"#box-{box}", text)
    await tab.press("Ask for approval", "#modal")
    await tab.until("!document.getElementById('modal').open")
    vendor.fail_next(Fault.REJECT, on="cancel")
    await tab.press("# approvals", "#places")
    card = f"[...document.querySelectorAll('{CARD}')].find((e) => e.innerText.includes('12 orders'))"
    await tab.until(f"{card}.querySelector('.danger')")
    await _approve(tab, card, "Bob", "1 of 2 approvals")
    await _approve(tab, card, "Carol", "Outcome: 11 cancelled and 1 refused")
    await tab.run(f"{card}.id = 'several'")
    await _save(tab, "several", of="#several")


async def _home(tab: Tab) -> None:
    """What the app shows on its own tab, to somebody who may approve."""
    await tab.press("Carol", "#people")
    await tab.reads("Carol", "#me")
    await tab.press("countersign", "#apps")
    await tab.press("Home", "#tabs")
    await tab.until("document.querySelector('#home .home')")
    await _save(tab, "home")


async def _ask(tab: Tab, request: str, form: str = "") -> str:
    """As Alice: the command, the form, and then the channel. Returns an expression for the card."""
    await tab.fill("#line", f"/cancel-order {request}")
    await tab.press("Send", "#composer")
    await tab.until("document.querySelector('#modal [type=submit]')")
    if form:
        await tab.run("document.activeElement.blur()")
        await _save(tab, form, of="#modal")
    await tab.press("Ask for approval", "#modal")
    await tab.press("# approvals", "#places")
    reference = request.split()[1]
    card = f"[...document.querySelectorAll('{CARD}')].find((e) => e.innerText.includes(' {reference}'))"
    await tab.until(f"{card}.querySelector('.danger')")
    return card


async def _approve(tab: Tab, card: str, who: str, then: str) -> None:
    """Press the card's button as somebody, and wait for what the card says then."""
    await tab.press(who, "#people")
    await tab.reads(who, "#me")
    await tab.run(f"{card}.querySelector('.danger').click()")
    await tab.press("Approve cancellation", "#confirm")
    await tab.until(f"{card}.innerText.includes('{then}')")
    await tab.until(f"{card}.querySelector('.replies')")


async def _save(tab: Tab, name: str, of: str = "") -> None:
    picture = await tab.picture(of)
    (DOCS / f"{name}.png").write_bytes(picture)
    sys.stdout.write(f"docs/{name}.png  {len(picture) / 1024:.0f} kB\n")
