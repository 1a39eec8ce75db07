"""The only way out: one call is one turn, one fresh connection, one deadline, one capped answer.

Nothing else imports httpx or httpcore. Nothing here logs, and no error keeps a URL: at two providers the URL
holds what is needed to cancel an order.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from math import isfinite
from typing import Any, NoReturn
from urllib.parse import quote, unquote, urlencode, urlsplit

import httpcore
import httpx

from providers import fence

VERSION = "0.1.0"
USER_AGENT = f"Countersign/{VERSION}"

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_HOST = re.compile(r"(?!.{254})[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*|(?=.*:)[0-9a-f:]+(?:[0-9.]+)?")
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_PAUSES = (0.1, 0.4)
"""Seconds between the attempts of a read; a read has one attempt more than there are pauses."""
_NEVER_REPEATED = frozenset({"paced", "too_large", "unusable_request", "read_timeout", "connect_timeout"})
_GATEWAY_TROUBLE = frozenset({502, 503, 504})
_WITH_A_BODY = frozenset({"POST", "PUT", "PATCH"})
"""An empty one is announced as well."""
_OURS = frozenset(
    {"host", "user-agent", "accept-encoding", "connection", "content-length", "transfer-encoding"}
)
"""Headers that no provider has a say in."""
_MAX_DIGITS = 40
_UNPUBLISHED = (15, 4 / 3)
"""The pace where a provider publishes none: 15 calls at once and one more every 4/3 of a second, which
is at most 60 in any minute. Our own choice, made to be no burden: eight callers at once wait for
eleven seconds at most."""
_TURN_SHARE = 0.5
"""Of the whole deadline. A turn that comes later leaves too little time for the call itself."""
_SENTENCES = {
    "connect_error": "No connection could be made.",
    "connect_timeout": "No connection could be made in time.",
    "paced": "Too many calls wait for this provider, and the turn of this one did not come in time.",
    "too_late": "The bot was stopped for a while right before it could send; nothing left.",
    "tls_error": "The connection is not trusted: the certificate check or the handshake failed.",
    "read_timeout": "No answer came in time.",
    "connection_lost": "The connection was lost before the answer was complete.",
    "too_large": "The answer was too large to be read.",
    "broken_answer": "The answer broke the rules of HTTP.",
    "unusable_request": "The request could not be built; check the settings of this provider.",
}


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one call may cost."""

    timeout: float = 30.0
    """Seconds for everything: connecting, sending, waiting, the last byte of the answer; and the turn, where
    that was not waited for before."""
    max_bytes: int = 1_048_576
    """Of one answer, counted after decompression."""


class Pace:
    """How often one provider is called: `burst` calls at once, and one more every `every` seconds.

    So no window of t seconds ever sees more than `burst + t / every` turns, however late the event
    loop wakes up, and no more calls than that and those that had their turn just before. Turns are given in
    the order in which they are asked for.
    """

    def __init__(
        self,
        burst: int,
        every: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._ahead = (burst - 1) * every
        self._every = every
        self._clock = clock
        self._sleep = sleep
        self._next = clock()
        """When the next call would be due if all calls were evenly spaced; a burst runs ahead of it."""
        self._queue = asyncio.Lock()

    async def turn(self) -> None:
        """Wait for one's turn. Whoever is cancelled while waiting leaves the queue and uses nothing up."""
        async with self._queue:
            while (wait := self._next - self._ahead - self._clock()) > 0:
                await self._sleep(wait)
            self._next = max(self._next, self._clock()) + self._every


class NotJson(ValueError):
    """The body is not JSON, or is JSON that two readers could understand differently."""


class NoAnswer(Exception):
    """No complete answer came back. Its text is the code and nothing else."""

    def __init__(self, code: str, *, sent: bool) -> None:
        super().__init__(code)
        self.code = code
        self.sent = sent
        """False only when it is proved that no byte of the request left."""

    @property
    def sentence(self) -> str:
        """The same for people."""
        return _SENTENCES.get(self.code, "No complete answer came back.")


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete answer. Its repr shows the status only: bodies can hold other people's data."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names in lower case."""
    body: bytes = field(default=b"", repr=False)

    def json(self) -> object:
        """Parse strictly, or raise `NotJson`."""
        return parse_json(self.body)

    def json_or_none(self) -> object | None:
        try:
            return parse_json(self.body)
        except NotJson:
            return None

    @property
    def retry_after(self) -> timedelta | None:
        """How long the provider asks us to wait, within one second and one hour."""
        value = self.headers.get("retry-after", "").strip()
        wait = _delay_in_seconds(value) if value else None
        if wait is None:
            return None
        return timedelta(seconds=min(max(wait, 1.0), 3600.0))


def parse_json(body: bytes) -> object:
    """Like `json.loads`, minus everything that is not plain JSON or could not be stored again."""
    try:
        # A byte order mark survives this decoding and then stops the parser.
        value: object = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_short_int,
        )
        # A lone surrogate parses, and breaks the first database or terminal that it meets.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except (ValueError, RecursionError):
        pass  # raised below: inside here the new error would keep the whole body as its context
    raise NotJson("not strict JSON")


_granted: ContextVar[Http | None] = ContextVar("granted", default=None)
"""Whose turn was waited for already."""


class Http:
    """A client for one base URL. It keeps no connection and no cookie between two calls."""

    def __init__(self, base_url: str, limits: HttpLimits, pace: Pace | None = None) -> None:
        """`pace`: what the provider publishes; a careful one when it publishes nothing."""
        self._origin, self._prefix = _split_base(base_url)
        self._server = httpcore.URL(self._origin)
        self._host = _host_header(self._origin)
        self._limits = limits
        self._pace = pace or Pace(*_UNPUBLISHED)
        self._tls = _trust()

    @property
    def origin(self) -> str:
        """Scheme, host and port: the part of the base URL that may be shown."""
        return self._origin

    async def read(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """Ask for something. May be repeated after trouble on the way, within one deadline."""
        progress = _Progress(changes=False)
        request = self._build(method, path, query, headers, content, progress)
        async with _deadline(self._limits.timeout, progress):
            for pause in _PAUSES:
                try:
                    answer = await self._exchange(request, progress)
                except NoAnswer as trouble:
                    if trouble.code in _NEVER_REPEATED:
                        raise
                else:
                    if answer.status not in _GATEWAY_TROUBLE:
                        return answer
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  (spreads load)
            return await self._exchange(request, progress)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """Change something: one attempt, on a connection that nothing used before, that ends when the fence
        closes."""
        progress = _Progress(changes=True)
        request = self._build(method, path, query, headers, content, progress)
        if fence.is_closed():
            raise NoAnswer("too_late", sent=False)
        async with _deadline(min(self._limits.timeout, fence.left()), progress):
            return await self._exchange(request, progress)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait outside of any deadline until one more call is borne: the first one within the block."""
        await self._pace.turn()
        before = _granted.set(self)
        try:
            yield
        finally:
            _granted.reset(before)

    async def close(self) -> None:
        """Nothing stays open between calls, so there is nothing to close."""

    def _build(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        content: bytes | None,
        progress: _Progress,
    ) -> httpcore.Request:
        search = "?" + urlencode(query, quote_via=quote, safe="") if query else ""
        given = {"Host": self._host, "Accept": "application/json", **(headers or {})}
        given |= {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", "Connection": "close"}
        if content or method in _WITH_A_BODY:
            given["Content-Length"] = str(len(content or b""))
        try:
            _check_path(path)
            _check_headers(headers or {})
            # As it is checked here it is sent: nothing on the way tidies a path or resolves its dots.
            target = (self._prefix + path + search).encode("ascii")
            return httpcore.Request(
                method,
                self._server,
                headers=list(given.items()),
                content=content,
                extensions={"target": target, "trace": progress},
            )
        except (ValueError, TypeError):
            pass  # raised below, so that the new error does not hold on to the old one and what it quotes
        raise NoAnswer("unusable_request", sent=False)

    async def _exchange(self, request: httpcore.Request, progress: _Progress) -> Answer:
        """One attempt on a connection of its own.

        httpx's client, which sits on top of such connections, is left out on purpose: it is the part
        that keeps cookies, follows redirects, reads the environment and logs URLs.
        """
        await self._turn()
        progress.phase = ""
        try:
            async with httpcore.AsyncHTTPConnection(request.url.origin, self._tls) as connection:
                response = await connection.handle_async_request(request)
                headers = httpx.Headers(response.headers)  # one that comes twice is joined
                body = await self._body(response, headers.get("content-encoding", ""))
                return Answer(response.status, dict(headers), body)
        except (*_TROUBLE, OSError) as error:  # TLS that breaks late is a bare ssl.SSLError
            trouble = NoAnswer(_code_of(error, progress), sent=progress.sent)
        finally:
            await progress.hang_up()
        raise trouble

    async def _turn(self) -> None:
        if _granted.get() is self:
            _granted.set(None)
            return None
        try:
            async with asyncio.timeout(self._limits.timeout * _TURN_SHARE):
                return await self._pace.turn()
        except TimeoutError:
            pass  # raised below, without a past
        raise NoAnswer("paced", sent=False)

    async def _body(self, response: httpcore.Response, encoding: str) -> bytes:
        limit = self._limits.max_bytes
        raw = bytearray()
        async with aclosing(response):
            async for chunk in response.aiter_stream():
                raw += chunk
                if len(raw) > limit:
                    raise NoAnswer("too_large", sent=True)
        return _decoded(bytes(raw), encoding, limit)


_FIRST_BYTE = "http11.send_request_headers.started"
"""The connection says so, and waits for us, right before it writes."""
_TROUBLE = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)
"""Whatever goes wrong on a connection without a proxy. Only the system limits how long its steps take."""


class _Progress:
    """How far an attempt got, as the connection's own trace tells it."""

    def __init__(self, *, changes: bool) -> None:
        """`changes`: this attempt is no reading, so it stops at the fence."""
        self._changes = changes
        self.phase = ""
        self._stream: Any = None

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event == _FIRST_BYTE and self._changes and fence.is_closed():
            raise NoAnswer("too_late", sent=False)
        self.phase = event
        if event == "connection.connect_tcp.complete":
            self._stream = info["return_value"]

    async def hang_up(self) -> None:
        """Close the socket, which the connection forgets when its TLS handshake is interrupted
        (httpcore 1.0.9)."""
        if self._stream is not None:
            await self._stream.aclose()

    @property
    def sent(self) -> bool:
        """Unless the connection says that it was still connecting, bytes may have left."""
        return not self.phase.startswith("connection.")


@asynccontextmanager
async def _deadline(seconds: float, progress: _Progress) -> AsyncIterator[None]:
    """`asyncio.timeout` (a monotonic clock) that ends in `NoAnswer`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        sent = progress.sent
        raise NoAnswer("read_timeout" if sent else "connect_timeout", sent=sent) from None


def _code_of(error: Exception, progress: _Progress) -> str:
    match error:
        case httpcore.ConnectError() | httpcore.ConnectTimeout():
            return "tls_error" if progress.phase.startswith("connection.start_tls") else "connect_error"
        case httpcore.NetworkError() | httpcore.TimeoutException() | OSError():
            return "connection_lost"
        case httpcore.RemoteProtocolError() if "disconnected" in str(error) or "closed" in str(error):
            return "connection_lost"  # only the wording depends on this text, no decision does
        case _:
            return "broken_answer"


def _decoded(raw: bytes, encoding: str, limit: int) -> bytes:
    """We ask for no compression. Some servers gzip all the same; nothing else is accepted."""
    match encoding.strip().lower():
        case "" | "identity":
            return raw
        case "gzip" | "x-gzip":
            return _inflated(raw, limit)
        case _:
            raise NoAnswer("broken_answer", sent=True)


def _inflated(raw: bytes, limit: int) -> bytes:
    if not raw:
        return b""  # a 204 with a left-over header
    inflater = zlib.decompressobj(wbits=31)
    try:
        body = inflater.decompress(raw, limit + 1)
    except zlib.error:
        raise NoAnswer("broken_answer", sent=True) from None
    if len(body) > limit:
        raise NoAnswer("too_large", sent=True)
    if not inflater.eof or inflater.unused_data:
        raise NoAnswer("broken_answer", sent=True)
    return body


def _trust() -> ssl.SSLContext:
    """Whom to trust: SSL_CERT_FILE or SSL_CERT_DIR where one is set, else the usual authorities."""
    try:
        return _trusting(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    except OSError:
        raise ValueError("SSL_CERT_FILE cannot be read, or holds no certificates") from None


@lru_cache(maxsize=1)
def _trusting(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """One for all accounts: reading the usual authorities takes 13 ms. It holds no key of ours, and each
    connection makes a handshake of its own."""
    return httpx.create_ssl_context()


def _split_base(base_url: str) -> tuple[str, str]:
    """Origin and path prefix, or a ValueError that does not repeat the URL."""
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("the base URL cannot be read") from None
    problem = _base_problem(base_url, parts.scheme, host, "@" in parts.netloc)
    if problem:
        raise ValueError(f"the base URL {problem}")
    shown = f"[{host}]" if ":" in host else host
    prefix = parts.path.rstrip("/")
    if prefix:
        _check_path(prefix)
    return f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else ""), prefix


def _host_header(origin: str) -> str:
    """Without the port where that is the usual one, as browsers have it."""
    scheme, _, netloc = origin.partition("://")
    return netloc.removesuffix({"http": ":80", "https": ":443"}[scheme])


def _base_problem(base_url: str, scheme: str, host: str, userinfo: bool) -> str | None:
    if not re.fullmatch(r"[\x21-\x7e]+", base_url) or "?" in base_url or "#" in base_url:
        return "must be plain: no spaces, no query, no fragment"
    if userinfo:
        return "must not hold a user name or password"
    if not _HOST.fullmatch(host) or scheme not in {"http", "https"}:
        return "must start with https:// and a host name"
    if scheme == "http" and host not in _LOOPBACK:
        return "must start with https:// (http is for this very machine only)"
    return None


def _check_path(path: str) -> None:
    if not _PATH.fullmatch(path):
        raise ValueError("unusable path")
    if any(unquote(segment) in {"", ".", ".."} for segment in path[1:].split("/")):
        raise ValueError("unusable path segment")


def _check_headers(headers: Mapping[str, str]) -> None:
    if any(name.lower() in _OURS for name in headers):
        raise ValueError("a header that is not the provider's")
    if not all(_HEADER_VALUE.fullmatch(value) for value in headers.values()):
        raise ValueError("unusable header")


def _delay_in_seconds(value: str) -> float | None:
    if re.fullmatch(r"[0-9]+", value):
        return float(value)  # thousands of digits are infinity
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (when - datetime.now(UTC)).total_seconds()


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse(_text: str) -> NoReturn:
    raise ValueError("not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("too large a number")
    return number


def _short_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError("too long a number")
    return int(text)
