"""A wire to Postgres that breaks at the worst moment: a port in front of the server's socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from sqlalchemy.engine import make_url

Moment = Literal["before", "in", "after"]


class Wire:
    """`url` is the same database at the other end of the wire."""

    def __init__(self, url: str) -> None:
        given = make_url(url)
        self._server = f"{given.query['host']}/.s.PGSQL.{given.port or 5432}"
        self._port = socket.create_server(("127.0.0.1", 0))
        here = given.set(host="127.0.0.1", port=self._port.getsockname()[1], query={"sslmode": "disable"})
        self.url = here.render_as_string(hide_password=False)
        self._open: list[socket.socket] = []
        self._cut: tuple[bytes, Moment] | None = None
        self.cuts = 0
        """How often it broke so far."""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, word: bytes, moment: Moment) -> None:
        """Break once, when the bot next says `word`: before the server hears it, before it answers, or
        before its answer is heard."""
        self._cut = word, moment

    def cut_now(self) -> None:
        for end in self._open:
            _close(end)

    def close(self) -> None:
        """Nobody is there any more."""
        _close(self._port)
        self.cut_now()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                bot, _ = self._port.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._open += [bot, server]
                muted = threading.Event()
                for pump in (self._from_bot, self._from_server):
                    threading.Thread(target=pump, args=(bot, server, muted), daemon=True).start()

    def _from_bot(self, bot: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        with suppress(OSError):
            while said := bot.recv(65536):
                moment = self._moment(said)
                if moment is not None:
                    muted.set()
                if moment != "before":
                    server.sendall(said)
                if moment == "after":
                    return  # whoever hears the server's answer hangs up
                if moment is not None:
                    break
        _close(bot)
        _close(server)

    def _from_server(self, bot: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        with suppress(OSError):
            while (said := server.recv(65536)) and not muted.is_set():
                bot.sendall(said)
        _close(bot)
        _close(server)

    def _moment(self, said: bytes) -> Moment | None:
        if self._cut is None or self._cut[0] not in said:
            return None
        (_, moment), self._cut = self._cut, None
        self.cuts += 1
        return moment


@contextmanager
def wired(url: str) -> Iterator[Wire]:
    wire = Wire(url)
    try:
        yield wire
    finally:
        wire.close()


def _close(end: socket.socket) -> None:
    """Also whoever is reading from it learns of it."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
