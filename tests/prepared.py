"""A PostgreSQL cluster with every table in it, of which whatever the tests start gets a copy.

Making one takes some ten seconds and copying it a fraction of one. It is kept in pytest's cache of this checkout under
a name that holds for what it was made of, so that the next run of the same migrations begins with it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from controlplane.embedded import places
from controlplane.embedded.servers import MAJOR, Servers, temporary_dir

ROOT = Path(__file__).resolve().parents[1]
_CACHE = ROOT / ".pytest_cache" / "clusters"
_KEPT = 3


def lay_out(data_dir: Path) -> None:
    """Let an empty directory of `temporary_dir` begin with all tables, as after a first start and nothing else."""
    _copy(_cluster(), data_dir / "postgres")
    (data_dir / "run").mkdir()
    (data_dir / "run" / "lock").touch()  # what says of a directory that is not empty that it is a house's


def _cluster() -> Path:
    """Return the cluster, made by the first who asks while the others wait."""
    place = _CACHE / _name()
    if place.exists():
        return place
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _make(place)
        for old in sorted(_CACHE.glob("*-*"), key=lambda one: one.stat().st_mtime, reverse=True)[_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
    return place


def _make(place: Path) -> None:
    with temporary_dir() as directory:
        with Servers(directory) as servers:
            environment = {**os.environ, **servers.environment(), "TOLLKEEPER_DATA_DIR": str(directory)}
            migrated = subprocess.run(
                [sys.executable, "manage.py", "migrate", "--no-input"],
                cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            )  # fmt: skip
        if migrated.returncode != 0:
            sys.exit(f"The database of the tests cannot be made:\n{migrated.stdout}")
        unfinished = place.with_name("unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        _copy(directory / "postgres", unfinished)
        unfinished.rename(place)


def _copy(cluster: Path, to: Path) -> None:
    # The files keep their owner, which Python's own copying would not see to.
    subprocess.run(["cp", "-a", str(cluster), str(to)], check=True)


def _name() -> str:
    """Return a name that another migration, another PostgreSQL, another Django or another account would change."""
    digest = hashlib.sha256((ROOT / "requirements" / "base.lock").read_bytes())
    for path in sorted(ROOT.glob("*/migrations/*.py")):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    account = places.server_account(_CACHE / "none")
    return f"{MAJOR}-{digest.hexdigest()[:16]}-{account.name if account else os.geteuid()}"
