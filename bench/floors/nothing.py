"""A process that imports what the bot is made of, opens a socket, and says that it is ready."""

from __future__ import annotations

import asyncio

import httpx
import sqlmodel

from bench.floors.server import new_app, serve

MADE_OF = (httpx, sqlmodel)

if __name__ == "__main__":
    asyncio.run(serve(new_app()))
