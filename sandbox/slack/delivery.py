"""How things reach the bot: Socket Mode envelopes or signed HTTP posts, answered within three seconds."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
from slack_sdk.signature import SignatureVerifier

from sandbox.slack.model import Json, Reply
from sandbox.slack.sockets import SocketHub

if TYPE_CHECKING:
    from sandbox.slack.workspace import Workspace

RETRY_AFTER = (0.0, 60.0, 300.0)  # seconds before an event is sent again; nothing else ever is
_CONTENT_TYPES = {"events_api": "application/json"}


class Delivery:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.hub = SocketHub(workspace)
        self.request_url: str | None = None
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        kind: str,
        payload: Json,
        *,
        accepts: bool = True,
        retry: tuple[int, str] | None = None,
        judged: bool = True,
    ) -> Reply:
        """Deliver once. `judged`: a bad answer is a problem of the bot's, not just bad luck."""
        started = time.monotonic()
        if self.request_url:
            reply = await self._post(self.request_url, kind, payload, retry)
        else:
            reply = await self.hub.send(kind, payload, accepts, retry)
        seconds = time.monotonic() - started
        self._workspace.wire.note(
            "Slack", "bot", _name(kind, payload), reply.error or "ok", payload, reply.body
        )
        self._workspace.changed()
        if judged and not reply.ok and reply.error not in {"dispatch_failed", "connection_lost"}:
            what = payload.get("command") or payload.get("type")
            self._workspace.problem(f"{what}: the person saw an error, {reply.error} after {seconds:.1f} s")
        return Reply(reply.ok, reply.body, seconds, reply.error, reply.no_retry)

    async def event(self, payload: Json) -> None:
        """Deliver an event, and again when it is not acknowledged."""
        reply = await self.send("events_api", payload, accepts=False)
        for number, seconds in enumerate(RETRY_AFTER, start=1):
            if reply.ok or reply.no_retry:
                return
            reason = "http_timeout" if reply.error == "operation_timeout" else "http_error"
            await asyncio.sleep(seconds)
            reply = await self.send("events_api", payload, accepts=False, retry=(number, reason))

    async def verify_url(self, timeout: float) -> None:  # noqa: ASYNC109
        """What Slack does when a request URL is entered: it must repeat a challenge."""
        challenge = {"type": "url_verification", "token": "", "challenge": "repeat-after-me"}
        async with asyncio.timeout(timeout):
            while True:
                reply = await self.send("events_api", challenge, judged=False)
                if reply.ok and "repeat-after-me" in json.dumps(reply.body):
                    return
                await asyncio.sleep(0.05)  # it may still be starting, and there is nothing to be woken by

    async def close(self) -> None:
        await self.hub.close()
        if self._session:
            await self._session.close()

    def packed(self, kind: str, payload: Json) -> tuple[bytes, dict[str, str]]:
        """The body of the request that Slack makes, and its headers; signed now."""
        body = _encoded(kind, payload)
        headers = self._signed(body, _CONTENT_TYPES.get(kind, "application/x-www-form-urlencoded"))
        return body.encode(), headers

    async def _post(self, url: str, kind: str, payload: Json, retry: tuple[int, str] | None) -> Reply:
        body, headers = self.packed(kind, payload)
        if retry:
            headers |= {"X-Slack-Retry-Num": str(retry[0]), "X-Slack-Retry-Reason": retry[1]}
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        limit = aiohttp.ClientTimeout(total=self._workspace.ack_timeout)
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=limit, allow_redirects=False
            ) as response:
                return await _read(response)
        except TimeoutError:
            return Reply(False, error="operation_timeout")
        except aiohttp.ClientError:
            return Reply(False, error="dispatch_failed")

    def _signed(self, body: str, content_type: str) -> dict[str, str]:
        # The verifier compares with the real time, whatever clock the workspace runs on.
        timestamp = str(int(time.time()))
        verifier = SignatureVerifier(self._workspace.signing_secret)
        return {
            "Content-Type": content_type,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": str(verifier.generate_signature(timestamp=timestamp, body=body)),
        }


def _name(kind: str, payload: Json) -> str:
    """What it is about, in a word or two."""
    if kind == "events_api":
        return str(payload.get("event", payload).get("type"))
    actions = [str(action.get("action_id")) for action in payload.get("actions") or ()]
    return " ".join([str(payload.get("command") or payload.get("type")), *actions])


def _encoded(kind: str, payload: Json) -> str:
    match kind:
        case "slash_commands":
            return urlencode(payload)
        case "interactive":
            return urlencode({"payload": json.dumps(payload)})
        case _:
            return json.dumps(payload)


async def _read(response: aiohttp.ClientResponse) -> Reply:
    if response.status != 200:
        error = "http_service_error" if response.status >= 500 else "http_client_error"
        return Reply(False, error=error, no_retry="x-slack-no-retry" in response.headers)
    text = await response.text()
    body: Any = text
    if response.content_type == "application/json" and text:
        try:
            body = json.loads(text)
        except ValueError:
            return Reply(False, error="invalid_response")
    if not body:
        return Reply(True)
    return Reply(True, body if isinstance(body, dict) else {"text": text})
