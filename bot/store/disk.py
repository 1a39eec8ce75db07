"""Whether the disk under a database outlives the process: on some hosts it does not, and nobody is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy.engine import make_url

NEVER_KEPT = {"DYNO": "Heroku", "K_SERVICE": "Cloud Run"}
"""Variables by which hosts are known that have no disk that stays. Heroku: "dynos have an ephemeral file
system"; Cloud Run: files live in memory."""
KEPT_IF_MOUNTED = {
    "RENDER": "Render",
    "FLY_APP_NAME": "Fly.io",
    "RAILWAY_ENVIRONMENT": "Railway",
    "RAILWAY_ENVIRONMENT_NAME": "Railway",
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
    "ECS_CONTAINER_METADATA_URI_V4": "Amazon ECS",
}
"""Those on which only what lies on a volume stays."""


def forgets(
    url: str, environment: Mapping[str, str], is_mount: Callable[[Path], bool] = Path.is_mount
) -> str:
    """Why a database in a file would be lost with the next start here; empty when it would not be, as far
    as is known."""
    given = make_url(url)
    if given.get_backend_name() != "sqlite" or not given.database:
        return ""
    if host := _known(NEVER_KEPT, environment):
        return _advice(host, given.database, "Set DATABASE_URL to a Postgres database.")
    host = _known(KEPT_IF_MOUNTED, environment)
    if host and not _is_on_a_volume(Path(given.database).absolute(), is_mount):
        return _advice(
            host, given.database, "Put it on a volume, or set DATABASE_URL to a Postgres database."
        )
    return ""


def _known(hosts: Mapping[str, str], environment: Mapping[str, str]) -> str:
    return next((host for name, host in hosts.items() if environment.get(name)), "")


def _is_on_a_volume(file: Path, is_mount: Callable[[Path], bool]) -> bool:
    *folders, _root = file.parents
    return any(is_mount(folder) for folder in folders)


def _advice(host: str, path: str, remedy: str) -> str:
    return f"DATABASE_URL names the file {path}, and {host} empties its disk at each start. {remedy}"
