"""What the bot accepts as settings, and what it says about the rest."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import cast
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url

from bot.logs import Redactor
from bot.settings import DEFAULTS, OTHERS, SECRETS, Settings, SettingsError, read_environment
from bot.store.postgres import arguments
from providers import ADAPTERS
from providers.contract import Facts, Provider, Setting

CANARY = "c4n4ry/with+odd=chars"


def an_adapter(name: str, *settings: Setting) -> type[Provider]:
    facts = Facts(
        name=name,
        label=name.title(),
        reference_label="Order ID",
        reference=re.compile(r"[0-9]+"),
        reference_form="digits only",
        example="1",
        not_to_confuse="",
        consequence="",
        warnings=(),
        success_means="",
        limits="",
        docs="",
        settings=settings,
    )
    return cast("type[Provider]", type(name.title(), (), {"facts": facts}))


NORTHWIND = an_adapter(
    "northwind",
    Setting("NORTHWIND_USERNAME", "account name"),
    Setting("NORTHWIND_API_KEY", "API key", secret=True),
    Setting("NORTHWIND_BASE_URL", "address", default="https://api.northwind.example", is_url=True),
    Setting("NORTHWIND_SPELLING", "word for cancelled", default="canceled", choices=("canceled", "CANCELED")),
)
CONTOSO = an_adapter(
    "contoso",
    Setting("CONTOSO_BASE_URL", "address", is_url=True),
    Setting("CONTOSO_TOKEN", "token", secret=True),
)

GOOD = {
    "SLACK_BOT_TOKEN": "xoxb-good-bot-token",
    "SLACK_APP_TOKEN": "xapp-good-app-token",
    "APPROVAL_CHANNEL": "C0APPROVALS",
    "APPROVERS": "U1,U2,U3",
    "NORTHWIND_USERNAME": "ada",
    "NORTHWIND_API_KEY": "northwind-key",
}


def environment(**changes: str | None) -> dict[str, str]:
    merged: dict[str, str | None] = {**GOOD, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def set_up(settings: Settings) -> dict[str, dict[str, str]]:
    """What is set of each provider, which has one account here."""
    return {account.provider: dict(account.values) for account in settings.accounts}


def read(**changes: str | None) -> Settings:
    return Settings.from_env(environment(**changes), [NORTHWIND, CONTOSO])


def problems(**changes: str | None) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        read(**changes)
    for problem in raised.value.problems:
        assert problem.isprintable(), problem
        assert CANARY not in problem
    return raised.value.problems


def only_problem(**changes: str | None) -> str:
    found = problems(**changes)
    assert len(found) == 1, found
    return found[0]


# --- what is right ---


def test_the_required_settings_are_enough() -> None:
    settings = read()
    assert settings.slack_bot_token.get_secret_value() == "xoxb-good-bot-token"
    assert settings.approvers == ("U1", "U2", "U3")
    assert settings.requesters == ()
    assert settings.approvals_required == 2
    assert settings.slack_api_url == "https://slack.com/api/"
    assert settings.request_ttl == timedelta(days=1)
    assert settings.reconcile_after == timedelta(seconds=45)
    assert (settings.host, settings.port) == ("0.0.0.0", 3000)  # noqa: S104
    assert settings.database_url == "sqlite:///data/bot.db"
    assert settings.warnings == ()


def test_defaults_of_an_enabled_provider_are_filled_in() -> None:
    assert set_up(read()) == {
        "northwind": {
            "NORTHWIND_USERNAME": "ada",
            "NORTHWIND_API_KEY": "northwind-key",
            "NORTHWIND_BASE_URL": "https://api.northwind.example",
            "NORTHWIND_SPELLING": "canceled",
        }
    }


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9999/api", "http://[::1]:9999/api/", "http://localhost/api"]
)
def test_a_local_workspace_may_be_plain_http(url: str) -> None:
    assert read(SLACK_API_URL=url).slack_api_url == url.rstrip("/") + "/"


@pytest.mark.parametrize(
    ("text", "length"), [("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800), ("1s", 1)]
)
def test_times(text: str, length: int) -> None:
    assert read(REQUEST_TTL=text).request_ttl == timedelta(seconds=length)


def test_reminders_can_be_turned_off() -> None:
    assert read(REMIND_AFTER="0").remind_after == timedelta()


def test_two_signing_secrets_while_rotating() -> None:
    secrets = read(SLACK_APP_TOKEN=None, SLACK_SIGNING_SECRET="old , new").signing_secrets
    assert secrets == (SecretStr("old"), SecretStr("new"))


def test_people_are_listed_once() -> None:
    assert read(APPROVERS=" U1, U2,U1,S9,W4 ").approvers == ("U1", "U2", "S9", "W4")


def test_a_blank_optional_setting_counts_as_left_out() -> None:
    settings = read(SLACK_APP_TOKEN="", SLACK_SIGNING_SECRET="signing", PORT="", CONTOSO_TOKEN=" ")
    assert settings.slack_app_token is None
    assert settings.port == 3000
    assert list(set_up(settings)) == ["northwind"]


# --- what is wrong ---


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_env({"APPROVALS_REQUIRED": "1", "PORT": "x"}, [NORTHWIND])
    said = raised.value.problems
    for name in ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "APPROVAL_CHANNEL", "APPROVERS", "APPROVALS_REQUIRED"):
        assert any(name in line for line in said), name
    assert any("PORT" in line for line in said)
    assert any("No provider" in line for line in said)
    assert len(said) == len(set(said)) == 7


@pytest.mark.parametrize("value", ["0", "1", "-1", "true", "2.5", "", " ", "+2", "٢", "100", "2\u00a0x"])
def test_one_person_is_never_enough(value: str) -> None:
    assert only_problem(APPROVALS_REQUIRED=value).startswith("APPROVALS_REQUIRED ")


@pytest.mark.parametrize(
    "changes",
    [
        {"APPROVERS": "U1,U2"},
        {"APPROVERS": "U1,U1,U2"},
        {"APPROVERS": "U1,U2", "REQUESTERS": "U2,U7"},
        {"APPROVERS": "U1", "REQUESTERS": "U7"},
        {"APPROVERS": "U1", "REQUESTERS": "S7"},
        {"APPROVERS": "U1,U2,U3", "APPROVALS_REQUIRED": "3"},
    ],
)
def test_a_quorum_must_be_left_besides_the_requester(changes: dict[str, str]) -> None:
    assert "APPROVERS must name at least" in only_problem(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"APPROVERS": "U1,U2", "REQUESTERS": "U7"},
        {"APPROVERS": "U1,U2", "REQUESTERS": "S7"},
        {"APPROVERS": "S1"},
        {"APPROVERS": "U1,S1", "APPROVALS_REQUIRED": "5"},
    ],
)
def test_a_quorum_that_is_there_or_cannot_be_counted_here(changes: dict[str, str]) -> None:
    read(**changes)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("APPROVERS", "@ada"),
        ("APPROVERS", "U1,U2,U3,u4"),
        ("APPROVERS", "U1,U2,U3,\uff35\uff14"),  # full-width letters look the same
        ("APPROVERS", ","),
        ("APPROVERS", ""),
        ("REQUESTERS", ""),
        ("REQUESTERS", "everyone"),
        ("REQUESTERS", "C012345"),
        ("APPROVAL_CHANNEL", "#approvals"),
        ("APPROVAL_CHANNEL", "U0123"),
        ("SLACK_BOT_TOKEN", "xoxp-" + CANARY),
        ("SLACK_BOT_TOKEN", "xoxb-"),
        ("SLACK_BOT_TOKEN", CANARY),
        ("SLACK_APP_TOKEN", "xoxb-" + CANARY),
        ("SLACK_SIGNING_SECRET", ""),
        ("SLACK_SIGNING_SECRET", "   "),
        ("SLACK_SIGNING_SECRET", CANARY + ","),
        ("SLACK_SIGNING_SECRET", f"a,b,{CANARY}"),
        ("REQUEST_TTL", "0"),
        ("REQUEST_TTL", ""),
        ("REQUEST_TTL", "24"),
        ("REQUEST_TTL", "-1h"),
        ("REQUEST_TTL", "1.5h"),
        ("REQUEST_TTL", "99999999d"),
        ("REMIND_AFTER", "never"),
        ("PROVIDER_TIMEOUT", "0s"),
        ("PROVIDER_MAX_BYTES", "0"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("HOST", "two words"),
        ("LOG_LEVEL", "verbose"),
        ("LOG_FORMAT", "xml"),
        ("RECONCILE_AFTER", "30s"),
        ("OUTBOX_RETRY_MAX", "500s\x1b[2J"),
        ("OUTBOX_RETRY_MIN", "2h"),
        ("ON_CALL_SOURCE", "opsgenie"),
        ("DATABASE_URL", f"mysql://bot:{CANARY}@db.example/bot"),
        ("DATABASE_URL", f"postgresql+asyncpg://bot:{CANARY}@db.example/bot"),
        ("DATABASE_URL", f"bot:{CANARY}@db.example/bot"),
        ("DATABASE_URL", f"postgresql:/bot:{CANARY}@db.example/bot"),
        ("DATABASE_URL", f"postgresql://bot:{CANARY}@db.example"),
        ("DATABASE_URL", f"postgresql://bot:{CANARY}@db.example/"),
        ("DATABASE_URL", f"postgresql://bot:{CANARY}@db.example:{CANARY}/bot"),
        ("DATABASE_URL", f"postgresql://bot:one@{CANARY}@db.example/bot"),
        ("DATABASE_URL", "postgresql:///?host=/run/postgresql"),
        ("DATABASE_URL", "postgresql://"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("NORTHWIND_SPELLING", "cancelled"),
        ("NORTHWIND_API_KEY", f"{CANARY}\r\nX-Header: 1"),
    ],
)
def test_a_wrong_value_is_one_line_about_that_setting(name: str, value: str) -> None:
    line = only_problem(**{name: value})
    expected = "OUTBOX_RETRY" if name.startswith("OUTBOX") else name
    assert line.startswith(expected)
    assert len(line) < 250


@pytest.mark.parametrize("name", ["SLACK_API_URL", "NORTHWIND_BASE_URL"])
@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://127.1",
        "http://10.0.0.5",
        "https://",
        "https://user@api.example.com",
        f"https://user:{CANARY}@api.example.com",
        f"https://api.example.com/?key={CANARY}",
        "https://api.example.com/#top",
        "https://api.example.com\\@evil.example",
        "https://api.example.com:0",
        "https://api.example.com:99999",
        "https://[::1",
        "https://ex ample.com",
        "https://ex%61mple.com",
        "ftp://api.example.com",
        "api.example.com",
        "https://ex\u0430mple.com",
        "//api.example.com",
    ],
)
def test_addresses_the_bot_must_not_send_to(name: str, url: str) -> None:
    assert only_problem(**{name: url}).startswith(f"{name} must")


def test_a_half_configured_provider_names_what_is_missing() -> None:
    line = only_problem(NORTHWIND_API_KEY=None)
    assert line.startswith("NORTHWIND_USERNAME") is False
    assert line.startswith("NORTHWIND_API_KEY is missing")
    assert only_problem(CONTOSO_TOKEN=CANARY).startswith("CONTOSO_BASE_URL is missing")


def test_a_default_alone_does_not_enable_a_provider() -> None:
    line = only_problem(
        NORTHWIND_API_KEY=None, NORTHWIND_USERNAME=None, NORTHWIND_BASE_URL="https://x.example"
    )
    assert line.startswith("No provider is set up")
    assert read(CONTOSO_BASE_URL=None).warnings == ()


def test_a_setting_without_effect_is_a_warning() -> None:
    both = {"CONTOSO_BASE_URL": "https://contoso.example/", "CONTOSO_TOKEN": "token-of-contoso"}
    settings = read(**both, NORTHWIND_API_KEY=None, NORTHWIND_USERNAME=None, NORTHWIND_SPELLING="CANCELED")
    assert set_up(settings)["contoso"]["CONTOSO_BASE_URL"] == "https://contoso.example"
    assert "NORTHWIND_SPELLING has no effect" in settings.warnings[0]


def test_one_way_into_slack_is_needed() -> None:
    line = only_problem(SLACK_APP_TOKEN=None)
    assert "SLACK_APP_TOKEN" in line
    assert "SLACK_SIGNING_SECRET" in line


def test_a_second_line_needs_to_know_who_and_when() -> None:
    assert (read().escalate_after, read().escalate_to) == (timedelta(), ())
    both = read(ESCALATE_AFTER="2h", ESCALATE_TO="UBOSS, SDUTY")
    assert (both.escalate_after, both.escalate_to) == (timedelta(hours=2), ("UBOSS", "SDUTY"))
    assert only_problem(ESCALATE_AFTER="2h").startswith("ESCALATE_TO is missing")
    assert only_problem(ESCALATE_TO="UBOSS").startswith("ESCALATE_AFTER is missing")
    for after in ("0", "soon", "0s"):
        wrong = only_problem(ESCALATE_AFTER=after, ESCALATE_TO="UBOSS")
        assert wrong.startswith("ESCALATE_AFTER must be a time such as")
    assert "ESCALATE_TO takes user IDs" in only_problem(ESCALATE_AFTER="2h", ESCALATE_TO="boss")


def test_a_second_line_that_is_called_after_everything_has_expired_is_a_mistake() -> None:
    late = only_problem(ESCALATE_AFTER="24h", ESCALATE_TO="UBOSS", REQUEST_TTL="24h")
    assert late.startswith("ESCALATE_AFTER is too late")


# --- misspelt names ---


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("APROVERS", "APPROVERS"),
        ("APPROVER", "APPROVERS"),
        ("approvers", "APPROVERS"),
        ("APPROVAL_REQUIRED", "APPROVALS_REQUIRED"),
        ("APROVALS_REQUIRED", "APPROVALS_REQUIRED"),
        ("REQUESTORS", "REQUESTERS"),
        ("RECONCILE_AFTR", "RECONCILE_AFTER"),
        ("SLACK_TOKEN", "SLACK_BOT_TOKEN"),
        ("SLACK_SIGNING_SECRETS", "SLACK_SIGNING_SECRET"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("NORTHWIND_APIKEY", "NORTHWIND_API_KEY"),
        ("NORTWIND_API_KEY", "NORTHWIND_API_KEY"),
        ("APPROVERS_FILE", "APPROVERS"),
        ("SLACK_ZZZZZZ", None),
    ],
)
def test_a_misspelt_name_is_a_problem(name: str, meant: str | None) -> None:
    line = only_problem(**{name: CANARY})
    assert line.startswith(f"{name} is not a setting")
    if meant:
        assert f"did you mean {meant}?" in line


FOREIGN = """
    PATH HOME HOSTNAME HOSTTYPE LOGNAME USER SHELL PWD OLDPWD LANG LC_ALL TERM EDITOR DISPLAY TZ
    PORTABLE PORTAL PS1 SHLVL _ MAIL MANPATH PAGER LESS LS_COLORS COLORTERM SSH_AUTH_SOCK TMPDIR
    XDG_RUNTIME_DIR LOGLEVEL LOG_DIR PYTHONPATH PYTHONUNBUFFERED VIRTUAL_ENV PIP_INDEX_URL
    UV_CACHE_DIR HTTP_PROXY HTTPS_PROXY NO_PROXY REQUESTS_CA_BUNDLE SSL_CERT_FILE CURL_CA_BUNDLE
    WEB_CONCURRENCY HEROKU_APP_NAME HEROKU_POSTGRESQL_RED_URL TEST_DATABASE_URL
    DATABASE_CONNECTION_POOL_URL REDIS_URL KUBERNETES_PORT_443_TCP SLACK_BOT_SERVICE_HOST
    SLACK_BOT_SERVICE_PORT SLACK_BOT_SERVICE_PORT_HTTP SLACK_BOT_PORT SLACK_BOT_PORT_3000_TCP_ADDR
    SLACK_CLI_XOXB SLACK_CLI_XAPP SLACK_APP_PATH AWS_REGION CI GITHUB_TOKEN SYSTEMD_EXEC_PID
    INVOCATION_ID JOURNAL_STREAM MAKEFLAGS MAKELEVEL PYTEST_CURRENT_TEST RUST_LOG NODE_ENV SUPPORT
    REPORT HOSTS GHOST PORTS EXPORT CLICOLOR npm_config_user_agent ACCOUNTS PROVIDERS
""".split()


@pytest.mark.parametrize("name", FOREIGN)
def test_the_names_of_others_are_left_alone(name: str) -> None:
    assert read(**{name: "1"}).warnings == read().warnings


def example_file() -> dict[str, str]:
    """Name and value of each line of `.env.example`, whether it is on or off."""
    text = (Path(__file__).parents[2] / ".env.example").read_text("utf-8")
    return dict(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=(.*)$", text, re.MULTILINE))


def test_the_example_file_has_every_setting_with_its_default() -> None:
    theirs = {each.name: each for adapter in ADAPTERS for each in adapter.facts.settings}
    expected = {
        **DEFAULTS,
        **{name: each.default for name, each in theirs.items() if each.default is not None},
    }
    example = example_file()
    assert {name: example.get(name) for name in expected} == expected
    assert set(example) == {*DEFAULTS, *SECRETS, *OTHERS, *theirs}


def test_the_example_file_filled_in_is_accepted() -> None:
    blanks = {**example_file(), **environment(), "SLACK_SIGNING_SECRET": "signing", "REQUESTERS": "U1"}
    blanks["ESCALATE_TO"] = "U9"
    filled = {name: value or "filled-in" for name, value in blanks.items() if "NORTHWIND" not in name}
    del filled["ACCOUNTS_FILE"]  # it names a file
    assert len(set_up(Settings.from_env(filled, ADAPTERS))) == len(ADAPTERS)


# --- the database ---

ODD_PASSWORDS = ["p@ss/w%rd", "with space", "plus+minus", "c:o:l:o:n", "p%40ss", "größer", "?#&=", "'quoted'"]


def database(url: str, **others: str | None) -> URL:
    return make_url(read(DATABASE_URL=url, **others).database_url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgres_is_known_by_each_of_its_names(scheme: str) -> None:
    url = database(f"{scheme}://bot:secret@db.example:6543/orders?sslmode=require")
    assert url.get_dialect().driver == "psycopg"
    assert (url.username, url.password, url.host, url.port) == ("bot", "secret", "db.example", 6543)
    assert (url.database, dict(url.query)) == ("orders", {"sslmode": "require"})


def test_postgres_may_be_reached_by_a_socket_of_this_machine() -> None:
    url = database("postgresql:///orders?host=/run/postgresql")
    assert (url.host, url.database, dict(url.query)) == (None, "orders", {"host": "/run/postgresql"})


@pytest.mark.parametrize("password", ODD_PASSWORDS)
def test_an_odd_password_is_taken_as_it_is_and_masked_in_every_spelling(password: str) -> None:
    settings = read(DATABASE_URL=f"postgresql://bot:{quote(password, safe='')}@db.example/orders")
    assert arguments(settings.database_url)["password"] == password
    redactor = Redactor(settings.secret_values())
    for written in (
        password,
        quote(password, safe=""),
        settings.database_url,
        settings.database_url.partition("://")[2],
        repr({"password": password}),
        json.dumps({"password": password}),
    ):
        masked = redactor.text(f"no connection: {written}")
        assert password not in masked
        assert quote(password, safe="") not in masked
        assert quote(password, safe=" +") not in masked


@pytest.mark.parametrize("name", ["password", "sslpassword"])
def test_a_password_among_the_options_is_a_secret_too(name: str) -> None:
    settings = read(DATABASE_URL=f"postgresql://db.example/orders?user=bot&{name}=c4n4ry%2Fodd")
    assert "c4n4ry/odd" in settings.secret_values()
    assert "c4n4ry" not in f"{settings!r} {settings.fingerprint()}"


def test_the_whole_url_may_come_from_a_file(tmp_path: Path) -> None:
    path = secret_file(tmp_path, f"postgres://bot:{quote(CANARY, safe='')}@db.example/orders\n")
    settings = read(DATABASE_URL=None, DATABASE_URL_FILE=path)
    assert make_url(settings.database_url).password == CANARY
    assert CANARY in settings.secret_values()
    assert CANARY not in repr(settings)


def test_an_unescaped_at_sign_is_not_taken_for_a_part_of_the_host() -> None:
    """The host is named in error messages, and it would be the end of the password."""
    line = only_problem(DATABASE_URL=f"postgresql://bot:one@{CANARY}@db.example/orders")
    assert "%40" in line


def test_a_wrong_database_is_told_what_a_right_one_looks_like() -> None:
    for wrong in (
        "mysql://db.example/orders",
        "postgresql://bot@db.example",
        "postgresql://bot@db.example:x/y",
    ):
        assert "postgresql://" in only_problem(DATABASE_URL=wrong)


def test_both_databases_are_named_where_the_settings_are_described() -> None:
    root = Path(__file__).parents[2]
    for document in (".env.example", "README.md"):
        text = (root / document).read_text("utf-8")
        for example in (DEFAULTS["DATABASE_URL"], "postgresql://user:password@host/name"):
            assert example in text, document
    assert read(DATABASE_URL="postgresql://user:password@host/name").warnings == ()


# --- secrets in files ---


def secret_file(folder: Path, content: str, mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_text(content)
    path.chmod(mode)
    return str(path)


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    path = secret_file(tmp_path, "key-from-file\n")
    settings = read(NORTHWIND_API_KEY=None, NORTHWIND_API_KEY_FILE=path)
    assert set_up(settings)["northwind"]["NORTHWIND_API_KEY"] == "key-from-file"
    assert "key-from-file" in settings.secret_values()
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("SLACK_BOT_TOKEN", "xoxb-from-file"),
        ("SLACK_APP_TOKEN", "xapp-from-file"),
        ("SLACK_SIGNING_SECRET", "signing"),
        ("DATABASE_URL", "sqlite:///elsewhere.db"),
        ("DATABASE_URL", "postgres://bot:secret@db.example/orders"),
    ],
)
def test_every_secret_may_come_from_a_file(tmp_path: Path, name: str, content: str) -> None:
    from_file = read(**{name: None, f"{name}_FILE": secret_file(tmp_path, content)})
    assert from_file == read(**{name: content})


def test_a_file_everybody_can_read_is_a_warning(tmp_path: Path) -> None:
    path = secret_file(tmp_path, "xoxb-from-file\n", mode=0o644)
    warnings = read(SLACK_BOT_TOKEN=None, SLACK_BOT_TOKEN_FILE=path).warnings
    assert ["SLACK_BOT_TOKEN_FILE" in line for line in warnings] == [True]


@pytest.mark.parametrize("content", ["", "\n", "xoxb-two\nlines"])
def test_an_empty_or_long_secret_file_is_refused(tmp_path: Path, content: str) -> None:
    path = secret_file(tmp_path, content)
    assert only_problem(SLACK_BOT_TOKEN=None, SLACK_BOT_TOKEN_FILE=path).startswith("SLACK_BOT_TOKEN")


def test_a_missing_file_is_refused_without_repeating_the_path(tmp_path: Path) -> None:
    # People put the secret itself into the variable that wants a path.
    for path in (f"/nowhere/{CANARY}", str(tmp_path), "\x00"):
        line = only_problem(NORTHWIND_API_KEY=None, NORTHWIND_API_KEY_FILE=path)
        assert line.startswith("NORTHWIND_API_KEY_FILE must be the path")


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    path = secret_file(tmp_path, "other")
    assert "remove one" in only_problem(NORTHWIND_API_KEY_FILE=path)


# --- nothing leaks ---


def test_no_problem_repeats_a_secret_put_into_the_wrong_setting() -> None:
    for name in ("APPROVAL_CHANNEL", "APPROVERS", "PORT", "HOST", "LOG_LEVEL", "NORTHWIND_SPELLING"):
        for value in (GOOD["SLACK_BOT_TOKEN"] + "!", GOOD["NORTHWIND_API_KEY"] + "!", "A1b2" * 8 + "!"):
            assert value[:-1] not in "".join(problems(**{name: value}))


def test_a_long_wrong_value_is_cut() -> None:
    assert len(only_problem(APPROVAL_CHANNEL="# " * 500)) < 250


def test_repr_shows_no_secret(tmp_path: Path) -> None:
    settings = read(
        NORTHWIND_API_KEY=CANARY, SLACK_SIGNING_SECRET=CANARY + "2", SLACK_BOT_TOKEN="xoxb-" + CANARY
    )
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert CANARY not in shown
        assert "xapp-good" not in shown
    assert set(settings.secret_values()) == {CANARY, CANARY + "2", "xoxb-" + CANARY, GOOD["SLACK_APP_TOKEN"]}


ANY_NAME = st.sampled_from([*DEFAULTS, *SECRETS, *OTHERS, *GOOD, "CONTOSO_BASE_URL", "SLACK_BOT_TOKEN_FILE"])
ANY_VALUE = st.text() | st.sampled_from(
    [
        "https://",
        "http://[",
        "http://[::1%x]",
        "sqlite:///",
        "postgres://",
        "postgresql://u:p@[/",
        "xoxb-",
        "9" * 5000,
        "0",
        "1d",
        ",",
        "U1,S1",
        "\udc80",
    ]
)


@given(st.dictionaries(ANY_NAME, st.tuples(ANY_VALUE, ANY_VALUE).map("".join), max_size=5))
def test_whatever_is_set_the_answer_is_settings_or_printable_lines(values: dict[str, str]) -> None:
    said: list[str] = []
    try:
        Settings.from_env({**environment(), **values}, [NORTHWIND, CONTOSO])
    except SettingsError as error:
        said = error.problems or ["nothing said"]
    assert all(line.isprintable() and line != "nothing said" and len(line) < 300 for line in said)


# --- the rest ---


def test_the_fingerprint_follows_the_policy_and_not_the_secrets() -> None:
    same = read().fingerprint()
    assert same == read(APPROVERS="U3,U1,U2", NORTHWIND_API_KEY="rotated", LOG_LEVEL="DEBUG").fingerprint()
    others = [
        read(APPROVERS="U1,U2,U4"),
        read(REQUESTERS="U1"),
        read(APPROVERS="S1", APPROVALS_REQUIRED="3"),
        read(REQUEST_TTL="1h"),
        read(APPROVAL_CHANNEL="C2"),
        read(ESCALATE_AFTER="1h", ESCALATE_TO="UBOSS"),
        read(ESCALATE_AFTER="2h", ESCALATE_TO="UBOSS"),
        read(NORTHWIND_BASE_URL="https://other.northwind.example"),
        read(REMIND_AFTER="1h"),
        read(PROVIDER_TIMEOUT="20s"),
        read(PROVIDER_MAX_BYTES="4096"),
        read(RECONCILE_AFTER="50s"),
        read(RECONCILE_FOR="2h"),
        read(SLACK_API_URL="https://slack-gov.com/api"),
    ]
    assert len({same, *(other.fingerprint() for other in others)}) == 15


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=file\nB='${A} $A'\nBARE\n# C=off\nexport D=x\n")
    assert read_environment({"A": "real", "E": "e"}, path) == {
        "A": "real",
        "B": "${A} $A",
        "D": "x",
        "E": "e",
    }
    assert read_environment({"A": "real"}, tmp_path / "missing") == {"A": "real"}


def test_an_unreadable_file_is_a_settings_error(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"A=\xff\xfe" + CANARY.encode())
    with pytest.raises(SettingsError) as raised:
        read_environment({}, path)
    assert CANARY not in str(raised.value)
