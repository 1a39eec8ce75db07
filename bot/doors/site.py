"""What every page of the bot's own HTTP server has in common."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError


def keep_to_itself(site: web.Application) -> None:
    """Tell strangers no version numbers, and let nothing that they send into the log."""
    site.on_response_prepare.append(_without_version)
    logging.getLogger("aiohttp.server").addFilter(_is_not_a_strangers)


async def _without_version(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)


def _is_not_a_strangers(record: logging.LogRecord) -> bool:
    """False for what aiohttp says about bytes that are no HTTP: it quotes them, once a connection."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)
