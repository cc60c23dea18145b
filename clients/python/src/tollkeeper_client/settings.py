"""Settings: arguments, else variables of the environment, else defaults, checked when a client is made."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .errors import NotConfigured
from .signatures import Verifier

log = logging.getLogger("tollkeeper_client")

DEFAULT_ENVIRONMENT = "production"
_ENVIRONMENT = re.compile(r"[A-Za-z0-9._:@-]{1,64}")
_NOT_IN_AN_INSTANCE = re.compile(r"[^A-Za-z0-9._:@-]")
_NOT_IN_A_FILE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    url: str  # without a slash at its end
    key: str
    environment: str
    directory: Path | None  # where rules and events are kept; None: nowhere
    instance: str | None  # None: host and process
    verifier: Verifier | None

    @property
    def rules_file(self) -> Path | None:
        if self.directory is None:
            return None
        readable = _NOT_IN_A_FILE.sub("-", self.environment)
        return self.directory / f"rules-{readable}-{_short(self.url, self.environment)}.json"

    @property
    def spool_file(self) -> Path | None:
        return None if self.directory is None else self.directory / f"events-{_short(self.url)}.sqlite3"

    @property
    def sender(self) -> str:
        """What tells keys apart without giving one away."""
        return _short(self.key)


def read(
    *,
    url: str | None,
    key: str | None,
    environment: str | None,
    data_dir: str | os.PathLike[str] | None,
    instance: str | None,
    public_key: str | None,
) -> Settings:
    """Return the settings.

    Raises:
        NotConfigured: one is missing or cannot be used; the message names argument and variable.
    """
    found_url = (url or os.environ.get("TOLLKEEPER_URL", "")).strip().rstrip("/").removesuffix("/api/v1")
    if not found_url:
        raise NotConfigured("No address: give url, or set TOLLKEEPER_URL to https://your-tollkeeper.")
    try:
        parts = urlsplit(found_url)
        parts.port  # noqa: B018
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise NotConfigured(f"{found_url}: url (TOLLKEEPER_URL) has to be like https://tollkeeper.example.")
    found_key = (key or os.environ.get("TOLLKEEPER_KEY", "")).strip()
    if not found_key or not found_key.isascii() or not found_key.isprintable() or " " in found_key:
        raise NotConfigured("No key that can be one: give key, or set TOLLKEEPER_KEY (manage.py create_key makes one).")
    found_environment = environment or os.environ.get("TOLLKEEPER_ENVIRONMENT") or DEFAULT_ENVIRONMENT
    if not _ENVIRONMENT.fullmatch(found_environment):
        raise NotConfigured(
            f"{found_environment}: environment (TOLLKEEPER_ENVIRONMENT) has other characters than names."
        )
    found_instance = instance or os.environ.get("TOLLKEEPER_INSTANCE") or None
    public_keys = [text.strip() for text in (public_key or os.environ.get("TOLLKEEPER_PUBLIC_KEY", "")).split(",")]
    public_keys = [text for text in public_keys if text]
    return Settings(
        url=found_url,
        key=found_key,
        environment=found_environment,
        directory=_directory(data_dir or os.environ.get("TOLLKEEPER_CLIENT_DIR")),
        instance=None if found_instance is None else _as_instance(found_instance),
        verifier=Verifier(public_keys) if public_keys else None,
    )


def this_process() -> str:
    """Return what tells this process from others of its gateway."""
    return _as_instance(f"{socket.gethostname()}-{os.getpid()}")


def _as_instance(text: str) -> str:
    return _NOT_IN_AN_INSTANCE.sub("-", text)[:128]


def _directory(given: str | os.PathLike[str] | None) -> Path | None:
    """Return a directory that can be written, None where there is none: then a restart loses what was kept."""
    try:
        path = Path(given) if given else _state_home() / "tollkeeper-client"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        log.error("directory.unusable %s: rules and events are kept in memory only, and a restart loses them", error)
        return None
    return path


def _state_home() -> Path:
    told = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA")
    if told:
        return Path(told)
    try:
        return Path.home() / ".local" / "state"
    except RuntimeError:  # a user without a home
        return _own(Path(tempfile.gettempdir()) / f"tollkeeper-{os.getuid()}")


def _own(path: Path) -> Path:
    """Make a directory where everybody may make one; whoever was there first could hand us rules to run.

    Raises:
        OSError: it is somebody else's.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{path} is another user's, or others may write there")
    return path


def _short(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
