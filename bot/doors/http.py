"""Signed HTTP: Slack's payloads to `POST /slack/events`.

The signature is checked over the raw bytes before anything else looks at them, and they are parsed
once, here. Bolt's own check comes after parsing, answers malformed headers with a 500, and writes a
rejected body to the log; its parser takes a body by its first letter for something else than it says.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
from binascii import a2b_qp
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.async_app import AsyncApp

from bot import once
from bot.doors.bolt import answer, is_understood
from bot.errors import CountersignError
from bot.listeners.answers import attempt
from bot.logs import get_logger

log = get_logger(__name__)

PATH = "/slack/events"
MAX_BODY = 256 * 1024
MAX_FIELDS = 100
READ_TIME = 10.0
"""Seconds for a whole body to arrive; Slack's come in one piece."""
WINDOW = 300
"""Seconds a signature may be old, or ahead of our clock."""
REMEMBERED = 20_000
SAID_EVERY = 60.0
"""Seconds between two log lines about rejected requests."""

_TIMESTAMP = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
_QUOTED = re.compile(rb"[!-$&-~]*(?:%[0-9A-Fa-f]{2}[!-$&-~]*)*")
"""Visible ASCII, in which each percent sign has its two digits."""


class HttpDoor:
    """Answers 503 to what Slack sends while there is no app behind it."""

    def __init__(
        self, app: AsyncApp | None, secrets: Sequence[str], seconds: Callable[[], float] = time.time
    ) -> None:
        self._app = app
        self._secrets = [secret.encode() for secret in secrets]
        self._seconds = seconds
        self._seen: OrderedDict[str, tuple[float, asyncio.Future[int]]] = OrderedDict()
        self._rejected = _Rejected()

    def open(self, app: AsyncApp) -> None:
        self._app = app

    def close(self) -> None:
        self._app = None

    def add_to(self, site: web.Application) -> None:
        site.router.add_post(PATH, self._receive)

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await _read(request)
        if problem := self._signature_problem(request, body):
            self._rejected.count(problem)
            return web.Response(status=401, text="unauthorized")
        payload = _parse(request.content_type, body)
        if payload is None or not is_understood(payload):
            self._rejected.count("signed, but not a payload of Slack's")
            return web.Response(status=400, text="malformed")
        if self._app is None:
            return web.Response(status=503, text="not now")
        return await self._once(request.headers["X-Slack-Signature"], self._app, payload)

    async def _once(self, signature: str, app: AsyncApp, payload: dict[str, Any]) -> web.StreamResponse:
        """Answer each signed request once. The same bytes again change nothing: they wait for the first
        and get an empty answer of the same status; what failed may be tried again."""
        self._forget_old()
        if signature in self._seen:
            return web.Response(status=await self._seen[signature][1])
        status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._seen[signature] = (self._seconds(), status)
        response: web.StreamResponse = web.Response(status=500, text="failed")
        try:
            with once.hearing(signature):
                answered = await attempt("http payload", answer(app, payload))
            if not isinstance(answered, CountersignError):
                response = await to_aiohttp_response(answered)
        finally:
            status.set_result(response.status)
            if response.status != 200:
                self._seen.pop(signature, None)
        return response

    def _signature_problem(self, request: web.Request, body: bytes) -> str:
        """Why this did not come from Slack just now; empty when it did."""
        timestamps = request.headers.getall("X-Slack-Request-Timestamp", [])
        signatures = request.headers.getall("X-Slack-Signature", [])
        if len(timestamps) != 1 or len(signatures) != 1 or not _TIMESTAMP.fullmatch(timestamps[0]):
            return "not signed"
        timestamp, signature = timestamps[0], signatures[0].encode("utf-8", "surrogateescape")
        base = b"v0:" + timestamp.encode() + b":" + body
        # Two secrets are valid while one is being replaced; both are always compared.
        matches = [hmac.compare_digest(_sign(secret, base), signature) for secret in self._secrets]
        if not any(matches):
            return "wrong signature"
        if abs(self._seconds() - int(timestamp)) > WINDOW:
            return "signed too long ago or ahead of time; if this goes on, this machine's clock is wrong"
        return ""

    def _forget_old(self) -> None:
        oldest = self._seconds() - 2 * WINDOW
        while self._seen and (len(self._seen) > REMEMBERED or next(iter(self._seen.values()))[0] < oldest):
            self._seen.popitem(last=False)


class _Rejected:
    """Says that requests are turned away, but not each time: a stranger could fill the disk."""

    def __init__(self) -> None:
        self._unsaid = 0
        self._quiet_until = 0.0

    def count(self, why: str) -> None:
        self._unsaid += 1
        now = time.monotonic()
        if now >= self._quiet_until:
            log.warning("requests_rejected", why=why, count=self._unsaid)
            self._unsaid, self._quiet_until = 0, now + SAID_EVERY


def _sign(secret: bytes, base: bytes) -> bytes:
    return b"v0=" + hmac.new(secret, base, hashlib.sha256).hexdigest().encode()


async def _read(request: web.Request) -> bytes:
    """The raw body, if it is small enough and arrives in time. Raises the answer if not."""
    if (request.content_length or 0) > MAX_BODY:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY, request.content_length or 0)
    try:
        async with asyncio.timeout(READ_TIME):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except web.RequestPayloadError:
        raise web.HTTPBadRequest from None


def _parse(content_type: str, body: bytes) -> dict[str, Any] | None:
    """The payload, or None for what is not UTF-8, not an object, or has a field twice: whoever reads
    the first of two must not see another payload than whoever reads the last."""
    try:
        if content_type == "application/json":
            return _object(body.decode())
        if content_type != "application/x-www-form-urlencoded":
            return None
        form = read_form(body)
        return _object(form["payload"]) if "payload" in form else dict(form)
    except (ValueError, RecursionError):
        return None


def read_form(body: bytes) -> dict[str, str]:
    """The fields of a form. Raises `ValueError` for what is none, is not UTF-8 or has a field twice."""
    fields = [field.partition(b"=") for field in body.split(b"&", MAX_FIELDS)]
    form = {_unquoted(name): _unquoted(value) for name, _, value in fields}
    if len(form) != len(fields) or len(form) > MAX_FIELDS or not all(sign for _, sign, _ in fields):
        raise ValueError("not a form")
    return form


def _unquoted(text: bytes) -> str:
    """Quoted-printable is the same with another sign, and Python reads that many times faster: most of a
    click is the card on which it was made, and most of that is quoted."""
    if not _QUOTED.fullmatch(text):
        raise ValueError("not quoted")
    quoted = text.replace(b"=", b"%3D").replace(b"+", b"%20").replace(b"%", b"=")
    return a2b_qp(quoted).decode()


def _object(text: str) -> dict[str, Any] | None:
    found = json.loads(text)
    return found if isinstance(found, dict) else None
