"""The bot as `python -m bot run` starts it, but without the limits that Slack and DigiCert publish: one
message a second and channel, and five calls a second after a burst.

A throughput measured through those limits would be the limits. The floors are not held to them either.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal

from bot.app import Bot, Roles
from bot.cli.run import make_ready
from bot.logs import configure
from bot.settings import Settings
from providers import ADAPTERS, digicert


class NoPace:
    """Everybody's turn is now."""

    async def turn(self, channel: str) -> None:
        del channel


async def _serve(bot: Bot) -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await bot.start()
    await told.wait()
    await bot.stop()


def main() -> None:
    digicert.PACE = (10**9, 0.001)
    settings = Settings.from_env(os.environ, ADAPTERS)
    configure(settings.log_level, settings.log_format, settings.secret_values())
    make_ready(settings.database_url)
    role = os.environ.get("ROLE")
    roles = Roles(web=role != "worker", worker=role != "web")
    asyncio.run(_serve(Bot(settings, transport="http", roles=roles, pace=NoPace())))


if __name__ == "__main__":
    gc.freeze()  # as `python -m bot` does
    main()
