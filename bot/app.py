"""The wiring: builds each room and hands it what it needs. Nothing imports this but the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from slack_sdk.errors import SlackApiError

from bot import __version__, agenda
from bot.accounts import Account, Accounts
from bot.delivery import Pace
from bot.directory import REFRESH_EVERY, REFRESHED_AT_ONCE, Directory
from bot.doors import bolt
from bot.doors.http import MAX_BODY, HttpDoor
from bot.doors.socket import SocketDoor
from bot.errors import ChainBroken, StorageError
from bot.health import Health
from bot.home import Home
from bot.logs import get_logger
from bot.measured import Measured, Watch
from bot.metrics import Metrics
from bot.on_call import PagerDuty, Sources
from bot.outbox import Outbox, OwnTurns, Retry, SlackPace, for_good
from bot.settings import Settings
from bot.slack import Identity, Slack, SlackProblem
from bot.store import Store
from bot.store.transaction import MESSAGES, WORK, News, utc_now
from bot.supervise import Supervisor
from bot.witness import Witness
from bot.worker import Deadlines, Worker
from bot.workflow import Policy, Workflow
from providers import ADAPTERS
from providers.contract import Provider
from providers.http import HttpLimits

if TYPE_CHECKING:
    from bot.store.presence import Presence

log = get_logger(__name__)

ANSWER_GRACE = 3.0
"""Seconds for payloads that are being answered, once the bot was told to stop."""
WORK_GRACE = 16.0
"""Seconds for provider calls under way; what is not done by then is looked up after the next start."""
DELIVERY_GRACE = 4.0
SHORT = 0.2
"""Seconds in which some ten thousand events are verified: the start waits for that."""
READ_AGAIN = 5.0
"""Seconds between two attempts to read the history in a database that is away."""
ON_CALL_TIMEOUT = 5.0
"""Seconds for asking who is on call: people wait for it, and Slack is asked beside it."""


class SlackRefusesUs(Exception):
    """The tokens can never work: starting again would not help."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Which parts of the bot this process is."""

    web: bool = True
    worker: bool = True


class Bot:
    """One process of the bot. `start` returns when it is ready, `stop` when everything is put away."""

    def __init__(
        self,
        settings: Settings,
        *,
        transport: str = "auto",
        roles: Roles = Roles(),
        clock: Callable[[], datetime] | None = None,
        pace: Pace | None = None,
        adapters: Sequence[type[Provider]] = ADAPTERS,
    ) -> None:
        self._settings = settings
        self._transport = _transport(settings, transport)
        self._roles = roles
        self._given_clock = clock
        self._clock = clock or utc_now
        self._pace = pace or SlackPace()
        self._facts = {adapter.facts.name: adapter.facts for adapter in adapters}
        self._metrics = Metrics(adapter.facts.name for adapter in adapters)
        self._accounts = accounts_of(settings, adapters, self._metrics.provider_answered)
        self._supervisor = Supervisor()
        self._ties = Supervisor()
        self._open = AsyncExitStack()
        """What is open, each with how it is put away; the last is put away first."""
        self._health = Health()
        self._starting = "still starting"
        self.port = 0

    async def start(self) -> None:
        """What was begun is put away again if this fails or is cancelled."""
        try:
            await self._start()
        except BaseException:
            await self._open.aclose()
            raise

    async def stop(self) -> None:
        """Take nothing new, finish or durably record what is under way, deliver what can be."""
        self._starting = "stopping"
        await self._open.aclose()
        log.info("stopped")

    async def _start(self) -> None:
        settings = self._settings
        self._open_parts()
        door = await self._listen()
        identity = await self._introduce()
        people = people_of(settings, self._slack)
        self._open.push_async_callback(people.close)
        directory = Directory(people, identity.team)
        workflow = Workflow(self._store, self._accounts, self._facts, self._policy(identity), directory)
        is_read = await self._read_history(workflow, SHORT)
        self._health.add(lambda: self._is_whole(workflow))
        self._health.tell(lambda: self._is_being_verified(workflow))
        await self._store.write(lambda unit: unit.note("started", self._note()))
        self._open.push_async_callback(self._store.write, lambda unit: unit.note("stopped", self._note()))
        channels = [account.channel for account in self._accounts]
        self._witness = Witness(self._slack, self._store, channels, self._clock)
        self._health.add(self._is_in_no_doubt)
        self._health.tell(lambda: self._is_paused(workflow))
        await asyncio.gather(
            self._refresh(directory),
            *([self._witness.compare()] if self._roles.worker else []),
        )
        if self._roles.worker:
            if not self._store.is_shared:
                # The only worker there is: whatever is claimed was claimed by a process that died.
                await self._store.write(lambda unit: unit.free_all_actions())
            self._start_work(workflow, directory)
        self._supervisor.keep_running("directory", lambda: self._keep_fresh(directory))
        self._open.push_async_callback(self._supervisor.stop, WORK_GRACE)
        await self._open_door(door, workflow, identity)
        if not is_read:
            reading = asyncio.create_task(self._read_on(workflow), name="history")
            self._open.push_async_callback(_give_up, reading)
        self._starting = ""
        log.info("ready", transport=self._transport, port=self.port, accounts=len(list(self._accounts)))

    # --- the parts --------------------------------------------------------------------------------

    def _open_parts(self) -> None:
        settings = self._settings
        self._store = Store(settings.database_url, self._given_clock)
        self._open.callback(self._store.close)
        self._slack = Slack(
            settings.slack_bot_token.get_secret_value(),
            settings.slack_api_url,
            self._clock,
            self._metrics.slack_answered,
        )
        self._open.push_async_callback(self._slack.close)
        for account in self._accounts:
            self._open.push_async_callback(account.provider.close)

    async def _listen(self) -> HttpDoor | None:
        """Open the port, so that whoever asks learns that and why the bot is not ready yet."""
        settings = self._settings
        site = web.Application(client_max_size=MAX_BODY)
        self._health.add(self._is_started)
        self._health.add(self._store.check)
        self._health.add_to(site)
        self._metrics.add_to(site, self._store, self._health.problems)
        door = None
        if self._roles.web and self._transport == "http":
            door = HttpDoor(None, [secret.get_secret_value() for secret in settings.signing_secrets])
            door.add_to(site)
        runner = web.AppRunner(site, access_log=None, auto_decompress=False, shutdown_timeout=ANSWER_GRACE)
        await runner.setup()
        self._open.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, settings.host, settings.port).start()
        self.port = runner.addresses[0][1]
        return door

    async def _introduce(self) -> Identity:
        """Ask Slack who we are, for as long as Slack is away; give up only if it says no."""
        pause = 0.5
        while True:
            try:
                return await self._slack.whoami()
            except SlackProblem as problem:
                if problem.is_auth:
                    raise SlackRefusesUs(f"Slack refuses SLACK_BOT_TOKEN ({problem.code}).") from None
                log.warning("slack_not_reachable", why=problem.code)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 15.0)

    async def _read_history(self, workflow: Workflow, within: float) -> bool:
        """Whether it was read to its end, or to something that is wrong with it."""
        try:
            return await workflow.verify_history(within)
        except ChainBroken as broken:
            log.error("chain_broken", seq=broken.seq, advice=broken.advice)
            return True

    async def _read_on(self, workflow: Workflow) -> None:
        """Nobody waits for a long history but what is to be executed."""
        while True:
            try:
                await self._read_history(workflow, inf)
            except StorageError as problem:
                log.error("history_not_read", why=problem.advice)
                await asyncio.sleep(READ_AGAIN)
            else:
                return await workflow.go_on()

    async def _keep_fresh(self, directory: Directory) -> None:
        while True:
            await asyncio.sleep(REFRESH_EVERY)
            await self._refresh(directory)

    async def _refresh(self, directory: Directory) -> None:
        """Of those who may ask only the groups: each of them is asked about when they open the form."""
        approvers, later = self._accounts.approvers, self._settings.escalate_to
        await asyncio.gather(
            directory.refresh(approvers, later, at_most=REFRESHED_AT_ONCE),
            directory.ask((), self._settings.requesters),
        )

    def _start_work(self, workflow: Workflow, directory: Directory) -> None:
        settings = self._settings
        deadlines = Deadlines(settings.provider_timeout, settings.reconcile_after, settings.reconcile_for)
        retry = Retry(settings.outbox_retry_min, settings.outbox_retry_max)
        presence = self._presence()
        # What another process saves wakes this one by this alone. The command line may save as well.
        idle = 5.0 if self._roles.web or presence else 1.0
        self._worker = Worker(
            self._store,
            workflow,
            directory,
            deadlines,
            self._supervisor,
            self._clock,
            idle,
            self._witness.doubt,
            name=presence.name if presence else "",
        )
        home = Home(self._store, workflow).view
        tenure = presence.tenure if presence else for_good
        pace = OwnTurns(self._pace, tenure, self._clock)
        self._outbox = Outbox(
            self._store, self._slack, self._facts, retry, pace, self._clock, idle, home, tenure
        )
        self._store.on_news(self._tell)
        if presence:
            self._store.delivers = lambda: bool(presence.tenure())
        self._health.add(self._delivers)
        self._supervisor.keep_running("witness", self._witness.run)
        self._supervisor.keep_running("worker", self._worker.run)
        deliver = self._outbox.run
        if presence:
            # Cut after everything else: as long as it stands, nobody takes over what is under way here.
            self._ties.keep_running("database link", presence.run)
            self._open.push_async_callback(self._ties.stop, 0.0)
            self._supervisor.keep_running("outbox", lambda: presence.while_delivering(deliver))
        else:
            self._supervisor.keep_running("outbox", deliver)
        self._open.push_async_callback(self._outbox.drain, DELIVERY_GRACE)

    def _presence(self) -> Presence | None:
        if not self._store.is_shared:
            return None
        from bot.store.presence import Presence  # brings Postgres's driver with it

        return Presence(self._settings.database_url, self._store, self._wake)

    def _tell(self, news: News) -> None:
        """Of what a transaction in this process left to be done."""
        self._worker.begin(news.claimed)
        if news.due_in is not None:
            self._worker.wake_in(news.due_in)
        if news.owed_in:
            self._outbox.wake_for(news.owed_in, news.awaited_in)

    def _wake(self, about: Collection[str]) -> None:
        """Another process saved something, or may have."""
        if WORK in about:
            self._worker.wake()
        if MESSAGES in about:
            self._outbox.wake()

    async def _open_door(self, door: HttpDoor | None, workflow: Workflow, identity: Identity) -> None:
        if not self._roles.web:
            return
        app = bolt.build(workflow, self._slack, identity, self._settings.slack_api_url)
        if door is not None:
            door.open(app)
            self._open.callback(door.close)
        else:
            # A database of one process has one bot.
            is_alone = not self._store.is_shared
            await self._open_socket(SocketDoor(app, *self._socket_arguments(), is_alone=is_alone))

    async def _open_socket(self, door: SocketDoor) -> None:
        self._socket = door
        self._health.add(self._is_connected)
        try:
            await door.open()
        except SlackApiError as refused:
            error = str(refused.response.get("error"))
            raise SlackRefusesUs(f"Slack refuses SLACK_APP_TOKEN ({error}).") from None
        self._open.push_async_callback(door.close, ANSWER_GRACE)

    def _socket_arguments(self) -> tuple[str, str, Any]:
        token = self._settings.slack_app_token
        secret = token.get_secret_value() if token else ""
        return secret, self._settings.slack_api_url, self._slack.session

    def _policy(self, identity: Identity) -> Policy:
        settings = self._settings
        return Policy(
            team=identity.team,
            requesters=settings.requesters,
            timing=agenda.Timing(settings.remind_after, settings.reconcile_after),
            escalate_after=settings.escalate_after,
            escalate_to=settings.escalate_to,
        )

    def _note(self) -> dict[str, Any]:
        roles = {"web": self._roles.web, "worker": self._roles.worker}
        return {"version": __version__, "settings": self._settings.fingerprint()} | roles

    # --- is it well -------------------------------------------------------------------------------

    async def _is_started(self) -> str:
        failures = self._supervisor.failing | self._ties.failing
        failing = ", ".join(f"{name} ({why})" for name, why in failures.items())
        return self._starting or (f"failing: {failing}" if failing else "")

    async def _is_whole(self, workflow: Workflow) -> str:
        return workflow.broken

    async def _is_being_verified(self, workflow: Workflow) -> str:
        return "" if workflow.broken else workflow.unverified

    async def _is_paused(self, workflow: Workflow) -> str:
        try:
            return await workflow.pauses.now()
        except StorageError:
            return ""  # the store's own check says so

    async def _delivers(self) -> str:
        return self._outbox.problem

    async def _is_in_no_doubt(self) -> str:
        return self._witness.doubt() if self._roles.worker else self._witness.clock_doubt()

    async def _is_connected(self) -> str:
        return self._socket.problem if await self._socket.is_connected() else "not connected to Slack"


async def _give_up(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _transport(settings: Settings, wanted: str) -> str:
    """Socket Mode when there is an app token, unless told otherwise."""
    if wanted != "auto":
        return wanted
    return "socket" if settings.slack_app_token else "http"


def people_of(settings: Settings, slack: Slack) -> Sources:
    """Where the directory asks: Slack, and whoever knows who is on call."""
    given = settings.pagerduty
    if given is None:
        return Sources(slack)
    limits = HttpLimits(ON_CALL_TIMEOUT, settings.provider_max_bytes)
    return Sources(slack, [PagerDuty(given.key.get_secret_value(), given.base_url, limits)])


def accounts_of(
    settings: Settings, adapters: Sequence[type[Provider]], watch: Watch | None = None
) -> Accounts:
    """`watch` is told of each call to a provider."""

    def measured(provider: Provider) -> Provider:
        return cast("Provider", Measured(provider, watch)) if watch else provider

    limits = HttpLimits(settings.provider_timeout.total_seconds(), settings.provider_max_bytes)
    by_name = {adapter.facts.name: adapter for adapter in adapters}
    return Accounts(
        Account(
            name=given.name,
            provider=measured(by_name[given.provider].from_settings(given.values, limits)),
            channel=given.channel or settings.approval_channel,
            approvers=given.approvers or settings.approvers,
            quorum=given.approvals_required or settings.approvals_required,
            ttl=given.request_ttl or settings.request_ttl,
        )
        for given in settings.accounts
    )
