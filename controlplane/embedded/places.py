"""Accounts and directories of the embedded servers, and whatever can be refused before anything is started.

PostgreSQL refuses to run as root. Run by root, it is started as an account that exists already, and
everything it touches must be within that account's reach. A directory above the data is never changed to make
that so: it may be somebody's home. It is named in one sentence instead.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# The longest path of a Unix socket is 107 bytes; PostgreSQL adds its own name, and a lock beside it.
_SOCKET_ROOM = 107 - len("/postgres/.s.PGSQL.5432.lock")

_MEGABYTE = 1024 * 1024
# Three months of the made-up company take some 600 MB with their write-ahead log.
FIRST_START_BYTES = 1000 * _MEGABYTE
LATER_START_BYTES = 200 * _MEGABYTE


class Refused(Exception):
    """The demo cannot start here; the message is one sentence for the person who started it."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Whom a server runs as."""

    name: str
    uid: int
    gid: int


def server_account(cluster: Path) -> Account | None:
    """Return the account to run PostgreSQL as, or None when it can run as the current user.

    A cluster that exists keeps its owner, whatever accounts have come since.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists():
        owner = cluster.stat()
        if owner.st_uid != 0:
            return Account(name=_name(owner.st_uid), uid=owner.st_uid, gid=owner.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise Refused(
        "PostgreSQL refuses to run as root, and no account postgres or nobody is there to run it as: "
        "start the demo as another user, or set DATABASE_URL."
    )


def obstacle(path: Path, account: Account | None) -> Path | None:
    """Return the topmost directory on the way to `path`, itself included, that the account may not enter."""
    for directory in [*reversed(path.parents), path]:
        if directory.is_dir() and not _may_enter(directory, account):
            return directory
    return None


def prepare_data_dir(data_dir: Path, *, account: Account | None) -> None:
    """Make the data directory, or check that the one there is ours to use; nothing above it is changed.

    Raises:
        Refused: it cannot be made or reached, is not writable, or holds something else.
    """
    closed = obstacle(data_dir, None)
    if closed is not None:
        raise Refused(f"The data directory {data_dir} cannot be reached: you may not enter {closed}.")
    try:
        missing = [place for place in [*reversed(data_dir.parents), data_dir] if not place.exists()]
        for place in missing:
            place.mkdir()
            # Ours from the start, so its mode is ours to choose: others may pass through, only the owner may
            # list.
            place.chmod(0o700 if account is None else 0o711)
        empty = not any(data_dir.iterdir())
    except NotADirectoryError as error:
        raise Refused(f"The data directory {data_dir} cannot be used: {error.filename} is not a directory.") from None
    except OSError as error:
        raise Refused(f"The data directory {data_dir} cannot be used: {error.strerror} ({error.filename}).") from None
    if not empty and not (data_dir / "run" / "lock").exists():
        raise Refused(f"The data directory {data_dir} holds other files; choose an empty one with --data-dir.")
    if not os.access(data_dir, os.W_OK | os.X_OK) or (os.geteuid() != 0 and data_dir.stat().st_uid != os.geteuid()):
        raise Refused(f"The data directory {data_dir} belongs to another user; choose another with --data-dir.")
    if empty and account is not None and obstacle(data_dir.parent, account) is None:
        data_dir.chmod(0o711)
    blocked = obstacle(data_dir, account)
    if blocked is not None and account is not None:
        raise Refused(
            f"The data directory {data_dir} cannot be used: PostgreSQL refuses to run as root, and "
            f"{account.name}, whom it would run as, may not enter {blocked}; "
            "choose another place with --data-dir."
        )
    for name in ("run", "log"):
        place = data_dir / name
        place.mkdir(exist_ok=True)
        place.chmod(0o700 if account is None or name == "log" else 0o711)


def hold(data_dir: Path) -> IO[str]:
    """Take the data directory; the returned file holds it until it is closed or the process dies.

    Raises:
        Refused: another process has it.
    """
    file = (data_dir / "run" / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        by = f" by process {holder}" if holder.isdigit() else ""
        raise Refused(
            f"The data directory {data_dir} is in use{by}; stop that one or choose another with --data-dir."
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def free_bytes(place: Path) -> int:
    return shutil.disk_usage(place).free


def check_room(data_dir: Path, *, free: Callable[[Path], int] = free_bytes) -> None:
    """Refuse to start on a disk that the demo would fill.

    Raises:
        Refused: fewer bytes are free than a first or a later start needs.
    """
    needed = LATER_START_BYTES if (data_dir / "postgres").exists() else FIRST_START_BYTES
    available = free(data_dir)
    if available < needed:
        raise Refused(
            f"The disk below {data_dir} has {available // _MEGABYTE} MB free and the demo needs "
            f"{needed // _MEGABYTE} MB; make room or choose another place with --data-dir."
        )


def socket_dir(data_dir: Path) -> Path:
    """Return a directory for sockets with a short enough path: in the data directory, or a private one.

    The same data directory gives the same place, so that addresses survive a restart.
    """
    place = data_dir / "run"
    if len(os.fsencode(place)) <= _SOCKET_ROOM:
        return place
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    for base in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):  # noqa: S108
        place = Path(base) / f"tollkeeper-{digest}"
        if not base or len(os.fsencode(place)) > _SOCKET_ROOM or not os.access(base, os.W_OK | os.X_OK):
            continue
        place.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, exist_ok=True)
        found = place.lstat()
        # Anybody can make a directory of this name in /tmp first, and would then own our sockets.
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
            place.chmod(0o711 if os.geteuid() == 0 else 0o700)
            return place
    raise Refused(f"The data directory {data_dir} has too long a path for Unix sockets; choose a shorter one.")


def owned_dir(path: Path, account: Account | None) -> Path:
    """Make a directory that only the account (or the current user) can look into; safe to repeat."""
    path.mkdir(exist_ok=True)
    if account is not None:
        os.chown(path, account.uid, account.gid)
    path.chmod(0o700)
    return path


def _may_enter(directory: Path, account: Account | None) -> bool:
    if account is None:
        return os.access(directory, os.X_OK)
    found = directory.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
