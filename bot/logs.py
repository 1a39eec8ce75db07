"""The log: one line a record, to stderr, with every secret masked.

Our own records and those of the libraries pass through one formatter. Masking comes after tracebacks
have become text, and last of all control characters are escaped, so a record cannot forge another.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import IO, Any, Literal, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

from providers.spellings import spellings

Format = Literal["auto", "console", "json"]

MASK = "***"

# From this level on a library is heard, whatever LOG_LEVEL says: below it, these log whole URLs,
# headers, payloads or SQL parameters.
_LIBRARIES = {
    "httpx": logging.ERROR,
    "httpcore": logging.ERROR,
    "slack_sdk": logging.WARNING,
    # It has to be told itself: it spells out each call and answer unless its own logger has a level.
    "slack_sdk.web.async_base_client": logging.WARNING,
    "slack_bolt": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "sqlalchemy": logging.WARNING,
}


def configure(level: str, format: Format, secrets: Iterable[str], stream: IO[str] | None = None) -> None:
    """Send every log record of this process to `stream` (stderr), and take over from any other handler."""
    stream = stream or sys.stderr
    as_json = format == "json" or (format == "auto" and not stream.isatty())
    handler = _Handler(stream)
    handler.setFormatter(_formatter(Redactor(secrets), _json_line if as_json else _console_line))
    handler.addFilter(_is_fit_to_print)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, lowest in _LIBRARIES.items():
        logging.getLogger(name).setLevel(max(lowest, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_DESCRIBE,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _to_stderr(*_name: object) -> structlog.PrintLogger:
    return structlog.PrintLogger(sys.stderr)


# Until somebody says otherwise: what a command prints is for whoever asked, and no line of a log is in it.
structlog.configure(logger_factory=_to_stderr)


@contextmanager
def only_warnings() -> Iterator[None]:
    """For commands that say themselves what they did."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        yield
    finally:
        structlog.configure(**before)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    return structlog.stdlib.get_logger(name)


@contextmanager
def about(**fields: object) -> Iterator[None]:
    """Each line that is logged meanwhile, in this task or one begun by it, has these fields; those that are
    empty are left out."""
    with structlog.contextvars.bound_contextvars(**{name: value for name, value in fields.items() if value}):
        yield


def log_crashes() -> None:
    """Have warnings and uncaught exceptions logged: Python's own print would show them unmasked."""
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    sys.unraisablehook = lambda crash: _log_uncaught(crash.exc_type, crash.exc_value, crash.exc_traceback)
    threading.excepthook = lambda crash: _log_uncaught(crash.exc_type, crash.exc_value, crash.exc_traceback)


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt) or error is None:
        return
    logging.getLogger("bot").critical("uncaught exception", exc_info=(kind, error, traceback))


# --- masking ----------------------------------------------------------------

_QUOTE = r"""(?:\\*["']|%22|%27|&quot;|&\#x27;)"""
_ASSIGN = rf"(?:{_QUOTE}\s*,|{_QUOTE}?\s*(?:=>|=|:|%3D|%3A))(?:\s|%20|\+)*b?{_QUOTE}?"
_NAMES = (
    r"order_token|checksum|trigger_id|response_url|api[-_]?key|api[-_]?token|(?:bot|app|access|auth)[-_]?token"
    r"|refresh_token|client_secret|signing_secret|fixed_hash|private_key|password|passwd"
    r"|x-slack-signature|x-dc-devkey|x-ntapi-sig|x-api-key|set-cookie|cookie"
)

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"xox[a-z](?:\.xox[a-z])?-[\w.%-]+|xapp-[\w.%-]+", re.I), MASK),
    (re.compile(r"hooks\.slack(?:-gov)?\.com[^\s\"'<>)]*", re.I), f"hooks.slack.com/{MASK}"),
    # A header's value may hold spaces ("Basic …", "cpanel user:…"): everything up to the quote goes.
    (re.compile(rf"((?:proxy-)?authorization{_ASSIGN})[^\r\n\"'}})\]]+", re.I), rf"\1{MASK}"),
    (re.compile(r"\b(bearer\s+)[\w.~+/=-]{16,}", re.I), rf"\1{MASK}"),
    (re.compile(rf"((?:{_NAMES}){_ASSIGN})[^\s\"'&,;<>)}}\]]+", re.I), rf"\1{MASK}"),
    (re.compile(r"([?&](?:token|ticket|key|sig|signature|secret)=)[^\s\"'&<>)]+", re.I), rf"\1{MASK}"),
    (re.compile(r"\b\d{6,}\.\d{6,}\.[0-9a-f]{32}\b", re.I), MASK),  # a trigger id
    (re.compile(r"(://)[^\s/@\"']+@"), rf"\1{MASK}@"),  # user and password in a URL
)


class Redactor:
    """Masks the configured secrets in any common spelling, and whatever has the shape of a secret."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._small = {form for secret in secrets for form in spellings(secret)}
        longest_first = sorted(self._small, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)

    def text(self, text: str) -> str:
        small = text.lower()
        if any(form in small for form in self._small):  # far quicker than the pattern, and mostly false
            text = self._known.sub(MASK, text)
        for shape, replacement in _SHAPES:
            text = shape.sub(replacement, text)
        return text

    def value(self, value: object) -> object:
        """The same value, made of nothing but masked text, numbers, lists and dictionaries."""
        match value:
            case None | bool():
                return value
            case int() | float():
                return value if self.text(str(value)) == str(value) else MASK
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(key)): self._field(str(key), item) for key, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.value(item) for item in value]
            case _:
                return self.text(_safe_repr(value))

    def _field(self, name: str, value: object) -> object:
        return MASK if _SECRET_FIELD.fullmatch(name) and value else self.value(value)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """As a structlog processor."""
        return cast("EventDict", self.value(event))


_SECRET_FIELD = re.compile(rf"(?:{_NAMES}|(?:proxy-)?authorization|token|secret)", re.I)


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a broken __repr__ must not cost us the record
        return f"<{type(value).__name__} that cannot be shown>"


# --- what is printed, and how -----------------------------------------------

_DESCRIBE: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

# Bolt puts what Slack (or a stranger) sent into these; the words before it say enough.
_WITHOUT_BODY = re.compile(
    r"(Invalid request signature detected|Unhandled request|A global middleware \(.*?\) skipped calling"
    r"|Failed to parse an? \w+|Received an unexpected message|Responding with status: \d+)",
)


def _is_fit_to_print(record: logging.LogRecord) -> bool:
    # Bolt gives its loggers a level of their own when they are made, so levels alone do not hold.
    for name, lowest in _LIBRARIES.items():
        inside = record.name == name or record.name.startswith(f"{name}.")
        by_library = inside or f"/{name}/" in record.pathname.replace("\\", "/")
        if by_library and record.levelno < lowest:
            return False
    if isinstance(record.msg, str) and (opening := _WITHOUT_BODY.match(record.msg)):
        record.msg, record.args = f"{opening[0]} (content left out)", None
    return True


def _formatter(redactor: Redactor, render: Callable[[EventDict], str]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_DESCRIBE, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            redactor,
            lambda _logger, _method, event: one_line(render(event)),
        ],
    )


def _json_line(event: EventDict) -> str:
    return json.dumps(event, ensure_ascii=False)


def _console_line(event: EventDict) -> str:
    when, level, name = (event.pop(key, "") for key in ("timestamp", "level", "logger"))
    said = event.pop("event", "")
    traceback = event.pop("exception", None)
    fields = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in event.items()
    ]
    if traceback:
        fields.append(f"| {traceback}")
    return " ".join([str(when), f"{level:<8}", str(name), "-", str(said), *fields])


def one_line(text: str) -> str:
    """The text with everything that could break a line or steer a terminal written as an escape."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    """As JSON writes it: line breaks by name, the rest as UTF-16 units."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    codes = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character, codes)


class _Handler(logging.StreamHandler[Any]):
    def handleError(self, record: logging.LogRecord) -> None:
        """Say that a record was lost. The inherited method prints its arguments unmasked."""
        kind = sys.exc_info()[0]
        why = kind.__name__ if kind else "error"
        with suppress(Exception):  # stderr itself may be gone, and then there is nobody left to tell
            self.stream.write(f"a log record of {one_line(record.name)} could not be written ({why})\n")
