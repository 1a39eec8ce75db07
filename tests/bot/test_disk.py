"""A database on a disk that is emptied at each start is refused before anything is approved in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.store.disk import forgets

FILE = "sqlite:///data/bot.db"
POSTGRES = "postgresql+psycopg://bot@db/bot"


@pytest.mark.parametrize("name", ["DYNO", "K_SERVICE"])
def test_a_host_without_a_disk_that_stays_is_refused(name: str) -> None:
    told = forgets(FILE, {name: "web.1"}, lambda _: True)
    assert "empties its disk" in told
    assert "Postgres" in told
    assert forgets(POSTGRES, {name: "web.1"}) == ""


@pytest.mark.parametrize(
    "name", ["RENDER", "FLY_APP_NAME", "RAILWAY_ENVIRONMENT_NAME", "KUBERNETES_SERVICE_HOST"]
)
def test_where_only_volumes_stay_the_file_has_to_be_on_one(name: str) -> None:
    on_host = {name: "yes"}
    assert "Put it on a volume" in forgets("sqlite:////app/data/bot.db", on_host, lambda _: False)
    assert forgets("sqlite:////data/bot.db", on_host, lambda folder: folder == Path("/data")) == ""
    assert forgets("sqlite:////data/x/bot.db", on_host, lambda folder: folder == Path("/data")) == ""
    only_root = forgets("sqlite:////data/bot.db", on_host, lambda folder: folder == Path("/"))
    assert only_root != "", "the root of a container is a mount and no volume"


def test_elsewhere_a_file_is_fine() -> None:
    assert forgets(FILE, {}) == ""
    assert forgets(FILE, {"DYNO": ""}) == ""
