"""Where an installation keeps its data, and what its files say to the settings.

Settings import this module before anything else is known, so it stays light: standard library only, and
nothing here fails because a file is missing, half written or not ours to read. Two files speak:

`secrets.env`            keys made once by the demo, mode 600, kept for the life of the data
`run/environment.json`   addresses of the embedded servers, valid only while the process that wrote it lives

Variables of the real environment win over both (`controlplane.env.Environment`).
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_SECRETS = "secrets.env"
_ENVIRONMENT = Path("run") / "environment.json"


def data_dir(text: str | None) -> Path:
    """Return the data directory as an absolute path; without a text the default of this user.

    Root's default lies below /var/lib and not below root's home: PostgreSQL refuses to run as root, and the
    account that it runs as then must be able to reach the place.
    """
    if text:
        return Path(text).expanduser().resolve()
    if os.geteuid() == 0:
        return Path("/var/lib/tollkeeper")
    home = os.environ.get("XDG_DATA_HOME", "").strip()
    base = Path(home) if home.startswith("/") else Path("~/.local/share").expanduser()
    return (base / "tollkeeper").resolve()


def defaults(data_dir: Path) -> Mapping[str, str]:
    """Return what the data directory supplies: keys, and the addresses of embedded servers that run now."""
    return {**_read_secrets(data_dir), **_read_environment(data_dir)}


def make_secrets(data_dir: Path) -> Mapping[str, str]:
    """Return the keys of this data directory, made on the first call and never changed after it."""
    path = data_dir / _SECRETS
    if not path.exists():
        fresh = {
            "TOLLKEEPER_SECRET_KEY": secrets.token_urlsafe(48),
            "TOLLKEEPER_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        }
        text = "".join(f"{name}={value}\n" for name, value in fresh.items())
        _write_private(
            path, "# Keys of this installation. Losing them makes stored channel secrets unreadable.\n" + text
        )
    return _read_secrets(data_dir)


def record(data_dir: Path, environment: Mapping[str, str]) -> None:
    """Let other shells find what runs here, for as long as the calling process lives."""
    content = {"pid": os.getpid(), "environment": dict(environment)}
    _write_private(data_dir / _ENVIRONMENT, json.dumps(content, indent=1) + "\n")


def forget(data_dir: Path) -> None:
    """Take back what `record` wrote; safe to repeat."""
    with suppress(OSError):
        (data_dir / _ENVIRONMENT).unlink()


def _write_private(path: Path, text: str) -> None:
    # A reader sees the old file or the new one, never half of one; the mode is right from the first byte.
    part = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        part.unlink()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _read_secrets(data_dir: Path) -> dict[str, str]:
    try:
        lines = (data_dir / _SECRETS).read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def _read_environment(data_dir: Path) -> dict[str, str]:
    try:
        content = json.loads((data_dir / _ENVIRONMENT).read_text())
        pid, environment = int(content["pid"]), dict(content["environment"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {str(name): str(value) for name, value in environment.items()} if _lives(pid) else {}


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # it lives and belongs to somebody else
    except OSError:
        return False
    return True
