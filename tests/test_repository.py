"""What the repository holds, and what must never get into it."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.txt", "requirements-dev.txt")

TOP_LEVEL = set(
    """
    bot providers sandbox tests docs bench .ci .github .slack manifest.yml Procfile Makefile
    Dockerfile .dockerignore compose.yaml
    pyproject.toml requirements.txt requirements-dev.txt .env.example .gitignore
    README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md LICENSE
    """.split()
)

# In pieces, so that this file does not find itself.
REGISTRIES = ("pypi" + ".org", "files.pythonhosted" + ".org", "registry.npmjs" + ".org")
HOME = re.compile(r"(?<![\w.:/-])/(?:home|Users|root|work)/[\w.-]+")


def tracked_files() -> list[Path]:
    """What is, or is about to be, committed."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a git checkout")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def pins(lock: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^\s;\\]+)", (ROOT / lock).read_text("utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host_and_no_path(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    assert "://" not in text
    assert re.findall(r"^\s*(?:-i|-f|-e|--(?!hash)\S*)", text, re.MULTILINE) == []
    assert re.findall(r"\s/\S+", text) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_with_a_hash(lock: str) -> None:
    lines = [
        line for line in (ROOT / lock).read_text("utf-8").splitlines() if not line.lstrip().startswith("#")
    ]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    assert joined
    for requirement in joined:
        assert re.match(r"[\w.-]+==\S+ ", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


def test_the_locks_are_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = {
        "requirements.txt": project["project"]["dependencies"],
        "requirements-dev.txt": project["dependency-groups"]["dev"],
    }
    for lock, requirements in wanted.items():
        pinned = pins(lock)
        for requirement in map(Requirement, requirements):
            version = pinned.get(canonicalize_name(requirement.name))
            assert version, f"{lock} lacks {requirement.name}: run `make lock`"
            assert requirement.specifier.contains(version), (
                f"{lock} has {requirement.name} {version}: run `make lock`"
            )


def test_both_locks_agree() -> None:
    runtime, development = pins("requirements.txt"), pins("requirements-dev.txt")
    assert {name: runtime[name] for name in runtime.keys() & development} == {
        name: development[name] for name in runtime.keys() & development
    }


def test_no_file_names_a_registry_or_somebodys_home() -> None:
    found = []
    for path in tracked_files():
        text = path.read_text("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {host}" for host in REGISTRIES if host in text]
        found += [f"{path.relative_to(ROOT)}: {home}" for home in HOME.findall(text)]
    assert found == []


SECRETS = re.compile(
    r"xox[abpres]-\d{10,13}-\d{10,13}-[A-Za-z0-9]{24}"  # Slack
    r"|xapp-1-A[A-Z0-9]{8,12}-\d{10,15}-[0-9a-f]{64}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bsk_live_[A-Za-z0-9]{24}"
)


def test_no_file_holds_a_secret() -> None:
    made_up = "xoxb-" + "1234567890-" * 2 + "a" * 24
    assert SECRETS.search(made_up), "a scan that finds nothing proves nothing"
    found = [path.name for path in tracked_files() if SECRETS.search(path.read_text("utf-8", "replace"))]
    assert found == []


def test_the_top_level_holds_what_newcomers_expect_and_no_more() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked_files()} - TOP_LEVEL == set()
