"""Reading settings one by one, each value checked, everything that is wrong collected."""

from __future__ import annotations

import difflib
import ipaddress
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from bot.logs import one_line
from providers.contract import Facts, Setting

if TYPE_CHECKING:
    from bot.settings import Settings

T = TypeVar("T")

DEFAULTS = {
    "SLACK_API_URL": "https://slack.com/api/",
    "APPROVALS_REQUIRED": "2",
    "REQUEST_TTL": "24h",
    "REMIND_AFTER": "30m",
    "ON_CALL_SOURCE": "slack",
    "PAGERDUTY_BASE_URL": "https://api.pagerduty.com",
    "DATABASE_URL": "sqlite:///data/bot.db",
    "HOST": "0.0.0.0",  # noqa: S104 - containers and buildpack hosts are reached from outside
    "PORT": "3000",
    "PROVIDER_TIMEOUT": "30s",
    "PROVIDER_MAX_BYTES": "1048576",
    "RECONCILE_AFTER": "45s",
    "RECONCILE_FOR": "24h",
    "OUTBOX_RETRY_MIN": "1s",
    "OUTBOX_RETRY_MAX": "60s",
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": "auto",
}
SECRETS = (
    "SLACK_BOT_TOKEN",
    "SLACK_APP_TOKEN",
    "SLACK_SIGNING_SECRET",
    "DATABASE_URL",
    "PAGERDUTY_API_KEY",
)
OTHERS = (
    "ACCOUNTS_FILE",
    "APPROVAL_CHANNEL",
    "APPROVERS",
    "REQUESTERS",
    "ESCALATE_AFTER",
    "ESCALATE_TO",
    "PAGERDUTY_SCHEDULES",
)

# Left blank, these would fall back to something looser than whoever wrote the line had in mind.
GUARDS = ("APPROVALS_REQUIRED", "REQUESTERS", "REQUEST_TTL", "SLACK_SIGNING_SECRET")

POSTGRES = ("postgres", "postgresql", "postgresql+psycopg")

_USER = re.compile(r"[UW][A-Z0-9]{1,20}")
_GROUP = re.compile(r"S[A-Z0-9]{1,20}")
_CHANNEL = re.compile(r"[CG][A-Z0-9]{1,20}")
_DURATION = re.compile(r"([0-9]{1,8})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_LONGEST = timedelta(days=366)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TOKEN_LIKE = re.compile(r"xox[a-z]|xapp-|[A-Za-z0-9_+/=-]{20}", re.IGNORECASE)


class SettingsError(Exception):
    """One line a problem; none of them holds a secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class Reader:
    """Reads setting after setting and collects what is wrong with them.

    A reading that failed returns its default, so that reading can go on; the name is kept in `_bad`,
    and nothing is concluded from it.
    """

    def __init__(self, environ: Mapping[str, str], facts: Sequence[Facts]) -> None:
        self._environ = environ
        self._facts = facts
        self._provider_settings = [setting for fact in facts for setting in fact.settings]
        self._secret_names = {*SECRETS, *(each.name for each in self._provider_settings if each.secret)}
        self._bad: set[str] = set()
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.provider_secrets: list[SecretStr] = []
        self.other_secrets: list[SecretStr] = []
        """Parts of values that a log must mask."""
        self._referenced: set[str] = set()
        """Variables of other names that settings refer to."""

    # Reading

    def signing_secrets(self) -> tuple[SecretStr, ...]:
        parts = [part.strip() for part in self._value("SLACK_SIGNING_SECRET").split(",")]
        if parts == [""]:
            return ()
        if "" in parts or len(parts) > 2:
            self._wrong("SLACK_SIGNING_SECRET", "must be one secret, or two with a comma between them")
            return ()
        return tuple(SecretStr(part) for part in parts)

    def token(self, name: str, prefix: str, required: bool = False) -> str:
        value = self._value(name, required)
        if value and not re.fullmatch(re.escape(prefix) + r"[\x21-\x7e]+", value):
            self._wrong(name, f'must be the token that begins with "{prefix}"')
        return value

    def url(self, name: str, default: str | None = None) -> str:
        default = DEFAULTS[name] if default is None else default
        value = self._value(name) or default
        try:
            return check_url(value)
        except ValueError as advice:
            self._wrong(name, str(advice))
            return default.rstrip("/")

    def channel(self) -> str:
        value = self._value("APPROVAL_CHANNEL", required=True)
        if value and not _CHANNEL.fullmatch(value):
            self._wrong("APPROVAL_CHANNEL", "must be a channel ID such as C0123456789, not a name", value)
        return value

    def people(self, name: str, required: bool = False) -> tuple[str, ...]:
        value = self._value(name, required)
        items = [item.strip() for item in value.split(",") if item.strip()]
        for item in items:
            if not (_USER.fullmatch(item) or _GROUP.fullmatch(item)):
                self._wrong(name, "takes user IDs (U… or W…) and user group IDs (S…), with commas", item)
        if value and not items:
            self._wrong(name, "names nobody; list user IDs (U… or W…) and user group IDs (S…)")
        return tuple(dict.fromkeys(items))

    def quorum(self) -> int:
        advice = "must be a whole number of at least 2: one person alone must never cancel an order"
        return self._parse("APPROVALS_REQUIRED", advice, lambda text: _whole(text, 2, 99))

    def whole(self, name: str, low: int, high: int) -> int:
        advice = f"must be a whole number from {low} to {high}"
        return self._parse(name, advice, lambda text: _whole(text, low, high))

    def duration(self, name: str, zero: bool = False) -> timedelta:
        advice = "must be a time such as 90s, 30m, 24h or 7d" + (", or 0 for never" if zero else "")
        return self._parse(name, advice, lambda text: _duration(text, zero))

    def escalation(self) -> tuple[timedelta, tuple[str, ...]]:
        """After which time a second set of people is called, and who they are; nobody when neither is
        given."""
        called, after = self.people("ESCALATE_TO"), self._value("ESCALATE_AFTER")
        for name, is_given, other in (
            ("ESCALATE_TO", bool(called), after),
            ("ESCALATE_AFTER", bool(after), called),
        ):
            if other and not is_given and self._is_good(name):
                self._wrong(name, "is missing; ESCALATE_AFTER and ESCALATE_TO need each other")
        try:
            return (_duration(after, zero=False), called) if after else (timedelta(), ())
        except ValueError:
            self._wrong("ESCALATE_AFTER", "must be a time such as 90s, 30m, 24h or 7d", after)
            return timedelta(), ()

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        folded = {choice.lower(): choice for choice in choices}
        return self._parse(name, f"must be one of {', '.join(choices)}", lambda text: folded[text.lower()])

    def host(self) -> str:
        value = self._value("HOST") or DEFAULTS["HOST"]
        if not _is_host(value):
            self._wrong("HOST", "must be the address to listen on, such as 0.0.0.0 or 127.0.0.1", value)
        return value

    def database(self) -> str:
        """A URL as SQLAlchemy takes it."""
        value = self._value("DATABASE_URL") or DEFAULTS["DATABASE_URL"]
        scheme, _, rest = value.partition("://")
        if scheme in POSTGRES:
            return self._postgres(rest)
        path = value.removeprefix("sqlite:///")
        if path == value:
            self._wrong("DATABASE_URL", "must begin with sqlite:/// or with postgresql://")
        elif path.partition("?")[0] in ("", ":memory:"):
            self._wrong("DATABASE_URL", "must name a file, such as sqlite:///data/bot.db")
        return value

    def _postgres(self, rest: str) -> str:
        """`postgres://` is what many hosts write, and no driver's name."""
        try:
            url = make_url(f"postgresql+psycopg://{rest}")
        except (ArgumentError, ValueError):
            self._wrong("DATABASE_URL", "cannot be read; it looks like postgresql://user:password@host/name")
            return ""
        if not url.database:
            self._wrong("DATABASE_URL", "must name a database, such as postgresql://user:password@host/name")
        if rest.count("@") > 1:  # the end of the password would be taken for the host, and be named in errors
            self._wrong("DATABASE_URL", "cannot be read; an @ in the password is written as %40")
        asked = url.normalized_query
        for password in (url.password, *asked.get("password", ()), *asked.get("sslpassword", ())):
            if password:
                self.other_secrets += [SecretStr(password), SecretStr(quote(password, safe=" +"))]
        return url.render_as_string(hide_password=False)

    def providers(self, others: bool = False) -> dict[str, dict[str, str]]:
        """Values of the providers that are set up here; `others` says that some are elsewhere."""
        enabled = {facts.name: values for facts in self._facts if (values := self._provider(facts))}
        touched = self._bad & {setting.name for setting in self._provider_settings}
        if not enabled and not touched and not others:
            labels = ", ".join(facts.label for facts in self._facts) or "none is known"
            self.problems.append(f"No provider is set up; give the settings of at least one ({labels}).")
        return enabled

    def _provider(self, facts: Facts) -> dict[str, str] | None:
        needed = [setting.name for setting in facts.settings if setting.default is None]
        missing = [name for name in needed if not self.is_given(name)]
        given = [setting.name for setting in facts.settings if self.is_given(setting.name)]
        if missing and set(given) & set(needed):
            for name in missing:
                self._wrong(name, f"is missing; {facts.label} needs {_and(needed)}")
        elif missing and given:
            self.warnings.append(
                f"{_and(given)} has no effect: {facts.label} is off without {_and(missing)}."
            )
        values = {setting.name: self._provider_value(setting) for setting in facts.settings if given}
        return None if missing else values

    def _provider_value(self, setting: Setting) -> str:
        value = self._value(setting.name) or setting.default or ""
        if setting.secret and value:
            self.provider_secrets.append(SecretStr(value))
        if setting.is_url and value:
            return self.url(setting.name, default=value)
        if setting.choices and value and value not in setting.choices:
            shown = None if setting.secret else value
            self._wrong(setting.name, f"must be one of {', '.join(setting.choices)}", shown)
        return value

    def provider_values(self, facts: Facts) -> dict[str, str]:
        """Values of one provider's settings; what is missing is a problem."""
        missing = [
            each.name for each in facts.settings if each.default is None and not self.is_given(each.name)
        ]
        for name in missing:
            self._wrong(name, "is missing")
        return {setting.name: self._provider_value(setting) for setting in facts.settings}

    def text(self, name: str) -> str:
        """A setting that is taken as it is; empty when it is not given."""
        return self._value(name)

    def referenced(self, name: str) -> str:
        """A variable that another setting names, or the file that `<NAME>_FILE` names."""
        self._secret_names.add(name)
        self._referenced.add(name)
        return self._value(name)

    # Judging

    def refuse_misspellings(self) -> None:
        names = [*DEFAULTS, *SECRETS, *OTHERS, *(each.name for each in self._provider_settings)]
        files = {f"{name}_FILE" for name in self._secret_names}
        prefixes = (*OUR_PREFIXES, *{f"{each.name.partition('_')[0]}_" for each in self._provider_settings})
        for name in sorted(self._environ):
            if name.removesuffix("_FILE") in self._referenced:
                continue
            if name not in files and (nearest := misspelt(name, names, prefixes)) is not None:
                advice = f"did you mean {nearest}?" if nearest else "see .env.example for the names."
                self.problems.append(f"{_shown(name)} is not a setting of this bot; {advice}")

    def cross_check(self, settings: Settings) -> None:
        has_way_in = any(self.is_given(name) for name in ("SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET"))
        if not has_way_in and not self._bad & {"SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET"}:
            self.problems.append(
                "Set SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (HTTP); both are missing."
            )
        if settings.reconcile_after <= settings.provider_timeout:
            self._clash("RECONCILE_AFTER", "PROVIDER_TIMEOUT", "must be longer than")
        if settings.outbox_retry_max < settings.outbox_retry_min:
            self._clash("OUTBOX_RETRY_MAX", "OUTBOX_RETRY_MIN", "must not be shorter than")
        if settings.escalate_to and settings.escalate_after >= settings.request_ttl:
            self._clash("ESCALATE_AFTER", "REQUEST_TTL", "is too late: it must be shorter than")
        self._check_accounts(settings)
        if self._is_good("APPROVERS", "REQUESTERS", "APPROVALS_REQUIRED"):
            needed = approvers_needed(settings.approvers, settings.requesters, settings.approvals_required)
            if len(settings.approvers) < needed:
                self._wrong(
                    "APPROVERS",
                    f"must name at least {needed} people: {settings.approvals_required} approve, "
                    "and nobody approves a request of their own",
                )

    def _check_accounts(self, settings: Settings) -> None:
        """Every account's own people must be able to reach its own number of approvals."""
        for account in settings.accounts:
            approvers = settings.approvers if account.approvers is None else account.approvers
            quorum = account.approvals_required or settings.approvals_required
            needed = approvers_needed(approvers, settings.requesters, quorum)
            if account.name and len(approvers) < needed:
                self.problems.append(
                    f"ACCOUNTS_FILE [{account.provider}.{account.name}]: APPROVERS must name at least "
                    f"{needed} people: {quorum} approve, and nobody approves a request of their own."
                )

    # The parts of it

    def _value(self, name: str, required: bool = False) -> str:
        value = self._from_file(name) if name in self._secret_names else None
        if value is None:
            value = self._environ.get(name, "").strip()
            if not value and name in GUARDS and name in self._environ:
                self._wrong(name, "is blank; give it a value or remove the line")
        if not value and required and name not in self._bad:
            self._wrong(name, "is missing")
        if _CONTROL.search(value):
            self._wrong(name, "has a line break or control character in it; write it on one line")
            return ""
        return value

    def _from_file(self, name: str) -> str | None:
        """The secret in the file that `<NAME>_FILE` names; None when it names none."""
        path = self._environ.get(f"{name}_FILE", "").strip()
        if not path:
            return None
        if self._environ.get(name, "").strip():
            self._wrong(name, f"and {name}_FILE are both set; remove one")
            return ""
        # The path is not repeated: people put the secret itself there by mistake.
        try:
            mode = Path(path).stat().st_mode
            value = Path(path).read_text("utf-8").strip() if stat.S_ISREG(mode) else None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else "not readable as text"
            self._wrong(f"{name}_FILE", f"must be the path of a file that can be read ({why})", bad=name)
            return ""
        if not value:
            self._wrong(
                f"{name}_FILE", "must be the path of a file with the secret in it; it is empty", bad=name
            )
            return ""
        if mode & stat.S_IROTH:
            self.warnings.append(
                f"The file of {name}_FILE can be read by every user of this machine; chmod it to 600."
            )
        return value

    def _parse(self, name: str, advice: str, parse: Callable[[str], T]) -> T:
        value = self._value(name) or DEFAULTS[name]
        try:
            return parse(value)
        except (ValueError, KeyError):
            self._wrong(name, advice, value)
            return parse(DEFAULTS[name])

    def is_given(self, name: str) -> bool:
        """Whether the setting has a value, in the environment or in a file."""
        by_file = name in self._secret_names and self._environ.get(f"{name}_FILE", "").strip()
        return bool(self._environ.get(name, "").strip() or by_file)

    def _clash(self, name: str, other: str, advice: str) -> None:
        if self._is_good(name, other):
            self._wrong(name, f"{advice} {other}")

    def _is_good(self, *names: str) -> bool:
        return not self._bad.intersection(names)

    def _wrong(self, name: str, advice: str, value: str | None = None, bad: str | None = None) -> None:
        self._bad.add(bad or name)
        self.problems.append(f"{name} {advice}{'' if value is None else self._not(value)}.")

    def _not(self, value: str) -> str:
        secrets = (self._environ.get(name, "").strip() for name in self._secret_names)
        if _TOKEN_LIKE.search(value) or any(secret and secret in value for secret in secrets):
            return ", not a value that looks like a secret"
        return f", not '{_shown(value)}'"


def check_url(value: str) -> str:
    """The URL without a trailing slash; `ValueError` with advice when the bot must not send to it."""
    advice = "must be an https:// URL such as https://api.example.com"
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(advice) from None
    if parts.scheme not in ("https", "http") or not _is_host(host) or not value.isascii():
        raise ValueError(advice)
    if "@" in parts.netloc or re.search(r"[?#\\\s]", value):
        raise ValueError("must be a plain URL: no user name, no password, nothing after ? or #")
    if port == 0:
        raise ValueError("must not use port 0")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError(
            "must begin with https://; plain http is for this machine only (127.0.0.1, localhost)"
        )
    return value.rstrip("/")


def approvers_needed(approvers: Iterable[str], requesters: Sequence[str], quorum: int) -> int:
    """How many names the list must have; 0 when groups or schedules make that unknowable from here."""
    people = set(approvers)
    if any(_GROUP.fullmatch(person) or ":" in person for person in people):
        return 0
    may_ask_themselves = not requesters or bool(people.intersection(requesters))
    return quorum + 1 if may_ask_themselves else quorum


# Whatever begins like this is meant for us …
OUR_PREFIXES = (
    "SLACK_",
    "APPROV",
    "REQUEST",
    "PROVIDER_",
    "RECONCILE_",
    "OUTBOX_",
    "REMIND",
    "ESCALAT",
    "ON_CALL",
    "PAGERDUTY_",
)
# … except what others are known to set: the Slack CLI, the requests library, CGI, and Kubernetes
# (variables for each service of the namespace, which may well be called "slack-bot").
_THEIRS = re.compile(
    r"SLACK_(CLI_.*|APP_PATH|CONFIG_DIR|DISABLE_TELEMETRY|SKIP_UPDATE|TEST_.*|WEBHOOK.*)"
    r"|REQUESTS_CA_BUNDLE|REQUEST_(METHOD|URI|SCHEME)"
    r"|.*_SERVICE_(HOST|PORT(_.*)?)|.*_PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?"
)
# Too general: half the programs of this world have something that looks like these.
_COMMON = {"HOST", "PORT", "LOG_LEVEL", "LOG_FORMAT"}


def misspelt(name: str, names: Sequence[str], prefixes: tuple[str, ...] = ()) -> str | None:
    """The setting that `name` was probably meant to be ("" if that is unclear); None if it is not ours."""
    if name in names or _THEIRS.fullmatch(name):
        return None
    upper = name.upper()
    distinct = [each for each in names if each not in _COMMON]
    is_near = bool(difflib.get_close_matches(upper, distinct, 1, cutoff=0.87))
    if not upper.startswith(prefixes) and not is_near:
        return None
    return next(iter(difflib.get_close_matches(upper, distinct, 1, cutoff=0.6)), "")


def _whole(text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or not low <= int(text) <= high:
        raise ValueError
    return int(text)


def _duration(text: str, zero: bool) -> timedelta:
    if zero and text == "0":
        return timedelta()
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError
    length = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if length > _LONGEST or (not length and not zero):
        raise ValueError
    return length


def _is_host(host: str) -> bool:
    return bool(_HOST.fullmatch(host)) or _address(host) is not None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _shown(value: str) -> str:
    escaped = one_line(value)
    return escaped if len(escaped) <= 80 else f"{escaped[:79]}…"


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
