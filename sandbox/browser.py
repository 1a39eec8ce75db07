"""Chromium without a window, by its DevTools protocol: for tests of the page and for pictures of it."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from types import TracebackType
from typing import Any, Self

import aiohttp

ADVICE = "There is no Chromium. Install it (Debian, Ubuntu: apt install chromium fonts-noto-color-emoji)."
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
)


class NoBrowser(RuntimeError):
    """There is no Chromium here, or it does not start."""


class NeverShown(AssertionError):
    """Something was waited for in vain. The message has what the page shows instead."""


def found() -> str | None:
    """Where Chromium is."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One browser process. Every tab is a stranger to the others: no shared cookies or storage."""

    def __init__(self) -> None:
        program = found()
        if program is None:
            raise NoBrowser(ADVICE)
        self._program = program
        self._address = ""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="countersign-", ignore_cleanup_errors=True)
        command = [self._program, *_FLAGS, f"--user-data-dir={self._folder.name}", "about:blank"]
        self._process = subprocess.Popen(  # noqa: S603 - found by name, no word of a stranger's in it
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        heard = self._process.stderr
        for line in heard or ():  # it says where it listens
            if listening := re.search(rb"DevTools listening on (ws://\S+)", line):
                self._address = listening[1].decode()
                return self
        self.__exit__(None, None, None)
        raise NoBrowser("Chromium ended before it listened.")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()
        self._folder.cleanup()

    @asynccontextmanager
    async def tab(self, width: int = 1280, height: int = 900, scale: float = 1) -> AsyncIterator[Tab]:
        """An empty page of that many CSS pixels; below 500 of them it is a phone."""
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(self._address, max_msg_size=0) as link,
        ):
            whole = Tab(link)
            context = (await whole.send("Target.createBrowserContext"))["browserContextId"]
            target = await whole.send("Target.createTarget", url="about:blank", browserContextId=context)
            attached = await whole.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
            tab = Tab(link, attached["sessionId"])
            await tab.resize(width, height, scale)
            await tab.send("Emulation.setLocaleOverride", locale="en-US")
            try:
                yield tab
            finally:
                await whole.send("Target.disposeBrowserContext", browserContextId=context)


class Tab:
    """One page. Whatever is waited for is waited for inside it, woken by its own changes."""

    def __init__(self, link: aiohttp.ClientWebSocketResponse, session: str = "") -> None:
        self._link = link
        self._session = {"sessionId": session} if session else {}
        self._numbers = count(1)

    async def send(self, method: str, **params: Any) -> Any:
        """A DevTools command, and its result."""
        number = next(self._numbers)
        await self._link.send_json({"id": number, "method": method, "params": params, **self._session})
        while True:
            answer = await self._link.receive_json()
            if answer.get("id") == number and answer.get("sessionId") == self._session.get("sessionId"):
                if "error" in answer:
                    raise NeverShown(f"{method}: {answer['error']}")
                return answer["result"]

    async def resize(self, width: int, height: int, scale: float = 1) -> None:
        size: dict[str, Any] = {"width": width, "height": height, "deviceScaleFactor": scale}
        await self.send("Emulation.setDeviceMetricsOverride", **size, mobile=width < 500)

    async def dark(self, on: bool = True) -> None:
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[feature])

    async def go(self, url: str) -> None:
        await self.send("Page.navigate", url=url)
        await self.until("document.querySelector('#channels button')")

    async def run(self, script: str) -> Any:
        """The value of an expression, promises awaited."""
        result = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise NeverShown(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    async def until(self, condition: str, seconds: float = 15) -> None:
        done = await self.run(f"""new Promise((resolve) => {{
            const look = () => {{ try {{ return Boolean({condition}); }} catch {{ return false; }} }};
            if (look()) return resolve(true);
            const watch = new MutationObserver(() => look() && resolve(true));
            const everything = {{subtree: true, childList: true, attributes: true, characterData: true}};
            watch.observe(document, everything);
            setTimeout(() => resolve(false), {seconds * 1000});
        }})""")
        if not done:
            raise NeverShown(f"{condition} never came true in:\n{await self.run('document.body?.innerText')}")

    async def reads(self, text: str, where: str = "body") -> None:
        """Wait until a person reads this there."""
        await self.until(_some(where, f"(e) => e.innerText.includes({json.dumps(text)})"))

    async def press(self, text: str, where: str = "body") -> None:
        """Press a button that can be seen and pressed, by how its text or its spoken name begins."""
        starts = f"startsWith({json.dumps(text)})"
        named = f"(b.innerText.trim().{starts} || b.ariaLabel?.{starts})"
        test = f"(b) => {named} && b.offsetParent && !b.disabled"
        button = _some(f"{where} :is(button, summary)", test)
        await self.until(button)
        await self.run(f"{button}.click()")

    async def fill(self, selector: str, value: str) -> None:
        """Type into a field, or choose in one."""
        field = f"document.querySelector({json.dumps(selector)})"
        await self.until(field)
        happened = "(kind) => field.dispatchEvent(new Event(kind, {bubbles: true}))"
        await self.run(
            f"(() => {{ const field = {field}; field.value = {json.dumps(value)}; "
            f"['input', 'change'].forEach({happened}); }})()"
        )

    async def key(self, name: str, code: int, text: str = "", alt: bool = False) -> None:
        """Press a key, as a keyboard does."""
        pressed: dict[str, Any] = {"key": name, "windowsVirtualKeyCode": code, "modifiers": 1 if alt else 0}
        await self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **pressed)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **pressed)

    async def picture(self, of: str = "") -> bytes:
        """A PNG of what can be seen, or of one element."""
        clip: dict[str, Any] = {}
        if of:
            box = f"document.querySelector({json.dumps(of)}).getBoundingClientRect().toJSON()"
            seen = await self.run(box)
            clip = {"clip": {**{side: seen[side] for side in ("x", "y", "width", "height")}, "scale": 1}}
        shot = await self.send("Page.captureScreenshot", format="png", **clip)
        return base64.b64decode(shot["data"])


def _some(selector: str, test: str) -> str:
    return f"[...document.querySelectorAll({json.dumps(selector)})].find({test})"
