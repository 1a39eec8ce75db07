"""The log shows one line a record, and no secret in any spelling."""

import base64
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

import pytest
import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.logs import _LIBRARIES, Format, Redactor, configure, get_logger, log_crashes, one_line

CANARY = 'c4n4ry key/with+odd="chars"&ünï'
TOKEN = "xoxb-1111-2222-c4n4ryc4n4ry"

SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "percent": lambda text: quote(text, safe=""),
    "percent in a path": quote,
    "percent, lower case": lambda text: quote(text, safe="").lower(),
    "form": quote_plus,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 in a URL": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 behind a user name": lambda text: base64.b64encode(f"ada:{text}".encode()).decode()[6:],
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, not ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "repr": lambda text: repr(text + "'")[1:-3],
}


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    yield
    logging.captureWarnings(False)
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def a_log(
    level: str = "DEBUG", format: Format = "json", secrets: tuple[str, ...] = (CANARY, TOKEN)
) -> io.StringIO:
    stream = io.StringIO()
    configure(level, format, secrets, stream)
    return stream


def fail(message: str) -> None:
    raise ValueError(message)


# --- masking ---


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_is_masked_wherever_it_stands(spelling: str, format: Format) -> None:
    secret = SPELLINGS[spelling](CANARY)
    stream = a_log(format=format)
    log = get_logger("bot.test").bind(bound=secret)
    log.info(
        f"event {secret}", field=secret, deep={"list": [secret, {secret: (secret,)}]}, raw=secret.encode()
    )
    log.info("positional %s", secret)
    logging.getLogger("somebody.else").warning("args %s", secret, extra={"more": secret})
    try:
        fail(f"in a traceback: {secret}")
    except ValueError:
        log.exception("failed")
        logging.getLogger("somebody.else").exception("failed too")
    log.info("stack", stack_info=True, object=ValueError(secret))
    written = stream.getvalue()
    assert written.count("ValueError: in a traceback") == 2
    assert len(written.splitlines()) == 6
    # What the renderer makes of the secret must not be there either.
    for form in (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        one_line(secret),
    ):
        assert form not in written


LEAKS = {
    "bot token": "used xoxb-S3CR3T-1234-abc",
    "refresh token": "xoxe.xoxp-S3CR3T-1234",
    "app token": '"xapp-1-S3CR3T-9"',
    "hook": "posting to https://hooks.slack.com/commands/T1/S3CR3T/x",
    "hook, GovSlack": "https://hooks.slack-gov.com/actions/S3CR3T",
    "hook, percent": "response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FS3CR3T&user=U1",
    "local response_url": "{'response_url': 'http://127.0.0.1:99/respond/S3CR3T'}",
    "JSON in JSON": r"{\"response_url\": \"http:\/\/127.0.0.1\/S3CR3T\"}",
    "JSON in a form": "payload=%7B%22trigger_id%22%3A%22S3CR3T%22%7D",
    "trigger id": "trigger_id: 13345224609.738474920.S3CR3T",
    "trigger id, alone": "opened for 13345224609.738474920.8088930838d88f008e0S3CR3T".replace(
        "S3CR3T", "abcabcabcabca"
    ),
    "order token": "GET /order/cancel?order_token=S3CR3T&api_key=x",
    "API key": "api_key=S3CR3T",
    "api-key header": "{'X-Api-Key': 'S3CR3T'}",
    "checksum": '{"checksum": "S3CR3T", "order": "1"}',
    "DigiCert header": "X-DC-DEVKEY: S3CR3T",
    "Basic": "Authorization: Basic S3CR3T==",
    "cPanel": "Authorization: cpanel ada:S3CR3T",
    "repr of headers": "[('Authorization', 'Bearer S3CR3T'), (b'authorization', b'Bearer S3CR3T')]",
    "bearer": "sent Bearer S3CR3TS3CR3TS3CR3T",
    "socket ticket": "wss://wss.example/link/?ticket=S3CR3T&app_id=1",
    "URL with password": "https://ada:S3CR3T@shop.example/x",
}


@pytest.mark.parametrize("case", LEAKS)
def test_what_looks_like_a_secret_is_masked_unasked(case: str) -> None:
    masked = Redactor([]).text(LEAKS[case])
    assert "S3CR3T" not in masked
    assert "abcabc" not in masked
    assert "***" in masked


def test_fields_with_telling_names_are_masked_whatever_they_hold() -> None:
    stream = a_log()
    get_logger("t").info(
        "x", api_key="short", trigger_id="1.2.3", token="t0k", headers={"Authorization": "Basic x"}
    )
    record = json.loads(stream.getvalue())
    assert [record[key] for key in ("api_key", "trigger_id", "token")] == ["***"] * 3
    assert record["headers"] == {"Authorization": "***"}


def test_ordinary_words_are_left_alone() -> None:
    for text in (
        "request 01J9 approved by U1: 1 of 2",
        "invalid token: expired",
        "https://api.example.com/v2/orders/12 answered 204",
        "key=value basic functionality",
        "2026-11-21T17:00:00Z",
    ):
        assert Redactor(["xy", ""]).text(text) == text


def test_numbers_that_are_secrets_are_masked() -> None:
    assert Redactor(["12345678"]).value({"n": 12345678, "m": 1, "ok": True}) == {
        "n": "***",
        "m": 1,
        "ok": True,
    }


# --- one line a record ---


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_record_cannot_forge_another(format: Format) -> None:
    stream = a_log(format=format)
    nasty = "a\nb\r\nc\x1b[2Jd\x00e\u2028f\u202eg\x85h\ud800i"
    get_logger("t").info(nasty, **{f"key{nasty}": nasty})
    logging.getLogger(f"t{nasty}").error("%s", nasty)
    written = stream.getvalue()
    assert len(written.splitlines()) == 2
    assert all(line.isprintable() for line in written.split("\n"))
    written.encode()


def test_json_records_are_json() -> None:
    stream = a_log()
    structlog.contextvars.bind_contextvars(request="R1")
    get_logger("bot.worker").warning("late \u2028", seconds=3, people={"U1"})
    record = json.loads(stream.getvalue())
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "event": "late \u2028",
        "level": "warning",
        "logger": "bot.worker",
        "request": "R1",
        "seconds": 3,
        "people": ["U1"],
    }


def test_console_records_read_from_left_to_right() -> None:
    stream = a_log(format="console")
    get_logger("bot.worker").info("sent", provider="northwind", attempts=1)
    assert stream.getvalue().rstrip().endswith("info     bot.worker - sent provider=northwind attempts=1")


def test_auto_is_json_unless_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert a_log(format="auto") is not None
    get_logger("t").info("x")
    terminal = Terminal()
    configure("INFO", "auto", (), terminal)
    get_logger("t").info("shown")
    assert not terminal.getvalue().startswith("{")


def test_the_level_is_kept() -> None:
    stream = a_log(level="WARNING")
    get_logger("t").info("quiet")
    get_logger("t").warning("loud")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


# --- libraries ---


def test_the_sdk_does_not_spell_out_what_nobody_would_hear() -> None:
    """It looks at the level of its client's own logger only, and would write out whole cards for it."""
    a_log(level="DEBUG")
    assert AsyncWebClient()._logger.level > logging.DEBUG


@pytest.mark.parametrize(
    ("name", "level", "is_heard"),
    [
        ("httpx", logging.WARNING, False),
        ("httpx", logging.ERROR, True),
        ("httpcore.connection", logging.WARNING, False),
        ("slack_sdk.web", logging.INFO, False),
        ("slack_sdk.web", logging.WARNING, True),
        ("slack_bolt.AsyncApp", logging.INFO, False),
        ("aiohttp.access", logging.INFO, False),
        ("sqlalchemy.engine.Engine", logging.INFO, False),
        ("alembic.runtime.migration", logging.INFO, True),
        ("slack_sdkish", logging.DEBUG, True),
    ],
)
def test_libraries_that_log_payloads_are_hushed_at_every_level(name: str, level: int, is_heard: bool) -> None:
    stream = a_log(level="DEBUG")
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)  # as Bolt does with its own
    logger.log(level, "something")
    logger.setLevel(logging.NOTSET)
    assert bool(stream.getvalue()) is is_heard


@pytest.mark.parametrize(
    "message",
    [
        "Invalid request signature detected (signature: v0=BODY, timestamp: 1, body: BODY\nBODY)",
        "Unhandled request ({'type': 'block_actions', 'value': 'BODY'})\n---\n[Suggestion] BODY",
        "A global middleware (x) skipped calling either `next()` or `next_()` for the request (BODY)",
    ],
)
def test_bolt_never_prints_what_it_was_sent(message: str) -> None:
    stream = a_log()
    logging.getLogger("slack_bolt.AsyncApp").error(message)
    assert "BODY" not in stream.getvalue()
    assert "content left out" in stream.getvalue()


# --- when logging itself, or everything, fails ---


def test_a_record_that_cannot_be_written_is_not_dumped(capsys: pytest.CaptureFixture[str]) -> None:
    stream = a_log()
    logging.getLogger("t").warning("%d", CANARY)
    assert "could not be written (TypeError)" in stream.getvalue()
    captured = capsys.readouterr()
    for shown in (stream.getvalue(), captured.out, captured.err):
        assert "c4n4ry" not in shown


def test_an_object_that_cannot_be_shown_costs_no_record() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError(CANARY)

    stream = a_log()
    get_logger("t").info("x", broken=Broken())
    assert json.loads(stream.getvalue())["broken"] == "<Broken that cannot be shown>"


def test_a_crash_is_logged_and_masked(capsys: pytest.CaptureFixture[str]) -> None:
    stream = a_log()
    log_crashes()
    try:
        fail(CANARY)
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    thread = threading.Thread(target=fail, args=(TOKEN,))
    thread.start()
    thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn(f"settings hold {TOKEN}", stacklevel=1)
    written = stream.getvalue()
    assert written.count("ValueError: ***") == 2
    assert "settings hold ***" in written
    assert "c4n4ry" not in written + capsys.readouterr().err
