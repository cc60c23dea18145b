"""Servers and processes of these tests' own, apart from those that the other tests share."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from controlplane.embedded.servers import Servers, temporary_dir


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """A PostgreSQL and a Redis that a test may kill."""
    with temporary_dir() as directory, Servers(directory) as started:
        yield started


@pytest.fixture
def empty_dir() -> Iterator[Path]:
    """A directory that the servers' account can reach, which pytest's own tmp_path is not for root."""
    with temporary_dir() as directory:
        yield directory


@pytest.fixture
def free_port() -> int:
    return a_free_port()


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def bare_environment(**ours: str) -> dict[str, str]:
    """The environment of somebody who has set nothing, for a process that must not find the tests' servers."""
    theirs: Mapping[str, str] = os.environ
    ignored = ("TOLLKEEPER_", "DATABASE_URL", "REDIS_URL", "DJANGO_", "PYTEST_")
    return {name: value for name, value in theirs.items() if not name.startswith(ignored)} | ours


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """Every living process that names the data directory in its command or environment, or works in it."""
    return [process for process in psutil.process_iter() if _belongs(process, str(data_dir))]


def _belongs(process: psutil.Process, place: str) -> bool:
    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        words = [*process.cmdline(), *process.environ().values(), process.cwd()]
    except (psutil.Error, OSError):
        return False
    return any(place in word for word in words)
