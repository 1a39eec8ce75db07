"""What has to be right before the bot can do its work, looked at one by one. Everything here only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.accounts import Account, Accounts
from bot.directory import Directory
from bot.model import Eligibility, Person
from bot.slack import Identity, Slack, SlackProblem
from bot.witness import WRONG_BY

REINSTALL = "Update the app's manifest from manifest.yml and reinstall it to the workspace."
AGAIN = "Look whether this machine reaches it, then try again."
FIXES = {
    "missing_scope": REINSTALL,
    "not_in_channel": "Invite the bot there: /invite @countersign",
    "channel_not_found": "Check the ID in APPROVAL_CHANNEL or ACCOUNTS_FILE, and invite the bot there.",
    "not_allowed_token_type": "It is a token of another kind. Copy it again.",
}
COPY_AGAIN = "Copy the token again from the app's pages, of the app that is installed in this workspace."


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    says: str
    fix: str = ""
    """What to do; empty when it is as it should be."""

    def __str__(self) -> str:
        if not self.fix:
            return f"ok    {self.what}: {self.says}"
        return f"FAIL  {self.what}: {self.says.rstrip('.')}. {self.fix}"


async def bot_token(slack: Slack) -> tuple[Finding, Identity | None]:
    try:
        identity = await slack.whoami()
    except SlackProblem as problem:
        return _refused("the bot's token", problem), None
    return Finding("the bot's token", f"app {identity.app} in workspace {identity.team}"), identity


async def app_token(slack: Slack) -> Finding:
    """`slack` speaks with the app-level token."""
    try:
        await slack.open_connection()
    except SlackProblem as problem:
        if problem.code == "missing_scope":
            fix = "Make an app-level token with the scope connections:write."
            return Finding("the app-level token", "it may not open connections", fix)
        return _refused("the app-level token", problem)
    return Finding("the app-level token", "may open connections")


def scopes(slack: Slack, wanted: Iterable[str]) -> Finding:
    """What the token may do, held against the manifest."""
    if slack.scopes is None:
        return Finding("scopes", "Slack did not say what the token may do", AGAIN)
    if missing := sorted(set(wanted) - slack.scopes):
        return Finding("scopes", f"{', '.join(missing)} missing", REINSTALL)
    return Finding("scopes", "everything in manifest.yml is granted")


async def channel(slack: Slack, channel_id: str) -> Finding:
    try:
        await slack.history(channel_id, limit=1)
    except SlackProblem as problem:
        return _refused(f"channel {channel_id}", problem)
    return Finding(f"channel {channel_id}", "the bot is in it and can read it")


def clock(slack: Slack) -> Finding:
    ahead = slack.clock_offset
    if ahead is None:
        return Finding("clock", "Slack's answers have no time", AGAIN)
    says = (
        f"{abs(ahead).total_seconds():.0f} s {'ahead of' if ahead.total_seconds() > 0 else 'behind'} Slack's"
    )
    too_far = "Set this machine's clock, best by NTP: nothing is executed until it is right."
    return Finding("clock", says, too_far if abs(ahead) > WRONG_BY else "")


# --- who approves -----------------------------------------------------------------------------------


def approvers(directory: Directory, names: Iterable[str], team: str) -> list[Finding]:
    """Each person and each group that may approve, as far as `directory` was just refreshed."""
    return [_approver(directory, name, team) for name in names]


def _approver(directory: Directory, name: str, team: str) -> Finding:
    people, unread = directory.everybody([name])
    if unread:
        what = "PagerDuty" if ":" in name else "Slack (user groups need a paid plan and usergroups:read)"
        return Finding(f"approvers {name}", "cannot be read", f"Check its ID, and the access to {what}.")
    verdicts = [directory.standing(Person(team, user)) for user in sorted(people)]
    unfit = [f"{one.person.user} ({one.why})" for one in verdicts if one.answer is not Eligibility.ELIGIBLE]
    if len(unfit) == len(verdicts):
        return Finding(
            f"approvers {name}",
            f"nobody in it can approve{': ' if unfit else ''}{', '.join(unfit)}",
            "Name others in APPROVERS, or put people into the group.",
        )
    but = f", but not {', '.join(unfit)}" if unfit else ""
    return Finding(f"approvers {name}", f"{len(verdicts) - len(unfit)} can approve{but}")


def quorum(directory: Directory, account: Account, requesters: Sequence[str], team: str) -> Finding:
    """Whether everybody who may ask finds enough others to approve."""
    what = f"quorum for {lane(account)}"
    possible = directory.possible(account.approvers, team)
    if possible is None:
        return Finding(what, "it is not known of everybody whether they can approve", AGAIN)
    askers, _ = directory.everybody(requesters)
    asks_themselves = not requesters or bool(askers & possible)
    left = len(possible) - (1 if asks_themselves else 0)
    if left < account.quorum:
        who = "an approver who asks" if asks_themselves else "a requester"
        return Finding(
            what,
            f"{account.quorum} have to approve, and {who} finds only {max(left, 0)}",
            "Name more approvers, or others than the requesters.",
        )
    return Finding(what, f"{account.quorum} of {len(possible)} have to approve")


# --- providers --------------------------------------------------------------------------------------


async def credentials(accounts: Accounts, seconds: float) -> list[Finding]:
    """What each provider says about the credentials, by a call that only reads."""
    return list(await asyncio.gather(*(_credentials(account, seconds) for account in accounts)))


async def _credentials(account: Account, seconds: float) -> Finding:
    try:
        async with asyncio.timeout(seconds):
            found = await account.provider.check()
    except TimeoutError:
        return Finding(lane(account), "no answer in time", AGAIN)
    if found.ok:
        return Finding(lane(account), found.detail)
    names = ", ".join(setting.name for setting in account.facts.settings if setting.default is None)
    return Finding(lane(account), found.detail, AGAIN if found.ok is None else f"Check {names}.")


def lane(account: Account) -> str:
    """How an account is called here: `cpanel`, or `cpanel/eu` where there are several."""
    return f"{account.facts.name}/{account.name}" if account.name else account.facts.name


def _refused(what: str, problem: SlackProblem) -> Finding:
    fix = FIXES.get(problem.code) or (COPY_AGAIN if problem.is_auth else AGAIN)
    return Finding(what, f"Slack says {problem.code}", fix)
