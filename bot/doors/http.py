"""Signed HTTP: Slack's payloads to `POST /slack/events`.

The signature is checked over the raw bytes before anything else looks at them. Bolt's own check comes
after parsing, answers malformed headers with a 500, and writes a rejected body to the log.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp
from slack_bolt.response import BoltResponse

from bot.errors import CountersignError
from bot.listeners.answers import attempt

PATH = "/slack/events"
MAX_BODY = 256 * 1024
WINDOW = 300
"""Seconds a signature may be old, or ahead of our clock."""
REMEMBERED = 20_000


class HttpDoor:
    def __init__(
        self, app: AsyncApp, secrets: Sequence[str], seconds: Callable[[], float] = time.time
    ) -> None:
        self._app = app
        self._secrets = [secret.encode() for secret in secrets]
        self._seconds = seconds
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def add_to(self, site: web.Application) -> None:
        site.router.add_post(PATH, self._receive)

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if not self._is_signed(request, body):
            return web.Response(status=401, text="unauthorized")
        if not _is_well_formed(request, body):
            return web.Response(status=400, text="malformed")
        if self._is_replay(request.headers["X-Slack-Signature"]):
            return web.Response(status=200)  # answered once already; a second time changes nothing
        response = await attempt("http payload", self._dispatch(request))
        if isinstance(response, CountersignError):
            return web.Response(status=400, text="malformed")
        return await to_aiohttp_response(response)

    async def _dispatch(self, request: web.Request) -> BoltResponse:
        return await self._app.async_dispatch(await to_bolt_request(request))

    def _is_signed(self, request: web.Request, body: bytes) -> bool:
        timestamps = request.headers.getall("X-Slack-Request-Timestamp", [])
        signatures = request.headers.getall("X-Slack-Signature", [])
        if len(timestamps) != 1 or len(signatures) != 1:
            return False
        timestamp, signature = timestamps[0], signatures[0].encode("utf-8", "surrogateescape")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            return False
        if abs(self._seconds() - int(timestamp)) > WINDOW:
            return False
        base = b"v0:" + timestamp.encode() + b":" + body
        # Two secrets are valid while one is being replaced; both are always compared.
        matches = [
            hmac.compare_digest(b"v0=" + hmac.new(secret, base, hashlib.sha256).hexdigest().encode(), signature)
            for secret in self._secrets
        ]
        return any(matches)

    def _is_replay(self, signature: str) -> bool:
        now = self._seconds()
        while self._seen and next(iter(self._seen.values())) < now - 2 * WINDOW:
            self._seen.popitem(last=False)
        key = signature.encode()
        if key in self._seen:
            return True
        self._seen[key] = now
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return False


def _is_well_formed(request: web.Request, body: bytes) -> bool:
    """UTF-8, each form field at most once (two readers must not see two payloads), JSON objects only."""
    try:
        text = body.decode("utf-8")
        if request.content_type == "application/json":
            return isinstance(json.loads(text), dict)
        fields = parse_qsl(text, keep_blank_values=True, strict_parsing=True)
        payload = dict(fields).get("payload", "{}")
        once = len({name for name, _ in fields}) == len(fields)
        return once and isinstance(json.loads(payload), dict)
    except (ValueError, RecursionError):
        return False
