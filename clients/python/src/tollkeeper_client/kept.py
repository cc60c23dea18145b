"""The last good rules on disk, for a start while the server is out of reach.

A line of JSON, then the document as it came. The line has the SHA-256 of tag, signature and document, so a file that
was cut off, or changed by hand, is no rules. Writing goes by way of another file and a rename: whoever reads sees the
old rules or the new ones, and any number of processes may share the directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_FORMAT = 1
_STALE_SECONDS = 3600  # of a half-written file whose writer was killed


class Damaged(Exception):
    """There is a file, and what is in it cannot be relied on."""


class KeptRules(NamedTuple):
    tag: str
    signature: str | None
    body: bytes


def load(path: Path) -> KeptRules | None:
    """Return what was kept; None where nothing was.

    Raises:
        Damaged: the file cannot be read, or is not as it was written.
    """
    try:
        line, newline, body = path.read_bytes().partition(b"\n")
        head = json.loads(line)
        tag, signature = head["tag"], head["signature"]
        whole = bool(newline) and head["format"] == _FORMAT and head["sha256"] == _digest(tag, signature, body)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"{path}: {error}") from error
    if not whole:
        raise Damaged(f"{path}: cut off or changed since it was written")
    return KeptRules(tag, signature, body)


def save(path: Path, kept: KeptRules) -> None:
    """Write, all or nothing; after a power cut, too.

    Raises:
        OSError: what was there before is still there.
    """
    digest = _digest(kept.tag, kept.signature, kept.body)
    head = {"format": _FORMAT, "tag": kept.tag, "signature": kept.signature, "sha256": digest}
    # Not by the process's number alone: each container that shares the directory may have a process 1.
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(6)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(head).encode() + b"\n" + kept.body)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    with suppress(OSError):  # Windows opens no directory
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    for left in path.parent.glob(f"{path.name}.*.tmp"):
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - _STALE_SECONDS:
                left.unlink()


def _digest(tag: str, signature: str | None, body: bytes) -> str:
    return hashlib.sha256(json.dumps([tag, signature]).encode() + b"\n" + body).hexdigest()
