"""The page in a real browser: somebody asks, somebody else approves. Skipped where there is no Chromium."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.sandbox.tiny_bot import Running, card, start

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
           --disable-component-update --disable-sync --remote-debugging-port=0""".split()


class Browser:
    """One tab, by the DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)

    async def send(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    async def run(self, script: str) -> Any:
        """The value of an expression, promises awaited."""
        result = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait inside the page, woken by its own changes."""
        done = await self.run(f"""new Promise((resolve) => {{
            const look = () => {{ try {{ return Boolean({condition}); }} catch {{ return false; }} }};
            if (look()) return resolve(true);
            const watch = new MutationObserver(() => look() && resolve(true));
            const everything = {{subtree: true, childList: true, attributes: true, characterData: true}};
            watch.observe(document, everything);
            setTimeout(() => resolve(false), 8000);
        }})""")
        assert done, f"{condition} never came true in:\n{await self.run('document.body?.innerText')}"

    async def press(self, text: str, where: str = "body") -> None:
        found = f"[...document.querySelectorAll({json.dumps(where + ' button')})]"
        button = f"{found}.find((b) => b.innerText.trim().startsWith({json.dumps(text)}))"
        await self.until(button)
        await self.run(f"{button}.click()")

    async def choose(self, selector: str, value: str) -> None:
        field = f"document.querySelector({json.dumps(selector)})"
        await self.until(field)
        event = "new Event('change', {bubbles: true})"
        await self.run(f"{field}.value = {json.dumps(value)}; {field}.dispatchEvent({event})")


async def _tab(process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> str:
    """The address of a new tab. The browser says on stderr where it listens."""
    assert process.stderr
    async with asyncio.timeout(30):
        async for line in process.stderr:
            if found := re.search(rb"DevTools listening on ws://([^/]+)/", line):
                async with session.put(f"http://{found[1].decode()}/json/new?about:blank") as answer:
                    return str((await answer.json())["webSocketDebuggerUrl"])
    pytest.fail("Chromium ended before it listened")


@pytest.fixture
async def bot() -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        yield await start(stack, "socket")


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}", "about:blank"]
    quiet, heard = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=heard)
    try:
        async with aiohttp.ClientSession() as session:
            url = await _tab(process, session)
            async with session.ws_connect(url, max_msg_size=0) as socket:
                yield Browser(socket)
    finally:
        process.terminate()
        await process.communicate()


async def test_asking_and_approving_by_hand(bot: Running, browser: Browser) -> None:
    await browser.send("Page.navigate", url=bot.server.url)
    await browser.until("document.getElementById('place').innerText === '# orders'")
    await browser.run("document.getElementById('line').value = '/ask'")
    await browser.press("Send", "#composer")
    await browser.press("Send", "#modal")  # with nothing in it
    await browser.until("document.querySelectorAll('#modal .error').length === 2")
    await browser.choose("#modal select", "order")
    await browser.choose("[data-key='reference/text']", "42")
    await browser.choose("[data-key='why/text']", "because")
    await browser.press("Send", "#modal")
    await browser.until("document.querySelector('#modal .error').innerText === 'That is no reason.'")
    await browser.choose("[data-key='why/text']", "<img src=x onerror=alert(1)>")
    await browser.press("Send", "#modal")
    await browser.until("!document.getElementById('modal').open")

    await browser.press("Bob", "#people")
    await browser.press("# approvals", "#places")
    await browser.press("Yes, please", "#messages")
    await browser.press("Yes", "#confirm")
    await browser.until("document.querySelector('.ephemeral').innerText.includes('Only visible to you')")
    await browser.until("document.querySelector('.thread').innerText.includes('@Bob said yes.')")
    assert await browser.run("document.querySelectorAll('#messages .actions, #messages img').length") == 0
    assert bot.workspace.problems == []


async def test_edits_show_by_themselves_and_unknown_blocks_show_as_such(
    bot: Running, browser: Browser
) -> None:
    await browser.send("Page.navigate", url=f"{bot.server.url}/?place=C0APPROVALS")
    posted = await bot.client.chat_postMessage(channel="C0APPROVALS", text="ask", blocks=card("what"))
    await browser.until("document.querySelector('#messages').innerText.includes('Asked: what')")
    image = {"type": "image", "image_url": "https://example.com/x.png", "alt_text": "x"}
    await bot.client.chat_update(channel="C0APPROVALS", ts=posted["ts"], text="new", blocks=[image])
    await browser.until("document.querySelector('.unknown').innerText.includes('image')")


async def test_nothing_is_wider_than_a_phone(bot: Running, browser: Browser) -> None:
    await bot.client.chat_postMessage(channel="C0APPROVALS", text="ask", blocks=card("long" * 100))
    phone = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    await browser.send("Emulation.setDeviceMetricsOverride", **phone)
    await browser.send("Page.navigate", url=f"{bot.server.url}/?place=C0APPROVALS")
    await browser.until("document.querySelector('#messages .actions button')")
    assert await browser.run("document.documentElement.scrollWidth") <= 390
