"""A price is corrected for a fifth of the ledger while the worker that restates it is killed again and again.

A million entries in `make soak`, some thousands in `make test`. How long the preview and the run may take is asked at
full size only, where it means something.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from controlplane.embedded.servers import Servers, temporary_dir
from tests import prepared
from tests.usage.waiting import until

pytestmark = pytest.mark.soak
FULL = os.environ.get("TOLLKEEPER_SOAK") == "1"
ENTRIES = 1_000_000 if FULL else 10_000
KILLS = 20 if FULL else 3
PREVIEW_S, RUN_S = 2, 60  # what the preview of, and the run over, 200,000 of a million entries may take
ROOT = Path(__file__).parents[2]


class Inside:
    """Has commands of `restating_inside` done on servers of its own."""

    def __init__(self, servers: Servers, directory: Path) -> None:
        self._url = servers.postgres.url
        environment = {
            **os.environ,
            **servers.environment(),
            "PYTHONPATH": str(ROOT),
            "TOLLKEEPER_DATA_DIR": str(directory / "house"),
            "TOLLKEEPER_LOG_LEVEL": "ERROR",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.restating_inside"],
            env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def close(self) -> None:
        with self._process as process:
            process.kill()

    def start(self, command: str, argument: object = None) -> psutil.Process:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, argument]) + "\n")
        self._process.stdin.flush()
        return psutil.Process(self._heard())

    def ended(self) -> list[Any] | None:
        """Wait until the command is done and return its result in a list, or None where it failed or was killed."""
        return self._heard()

    def _heard(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def looked_at(self) -> int:
        """Return how many entries the run has looked at."""
        with psycopg.connect(self._url, autocommit=True) as asked:
            row = asked.execute("SELECT done FROM core_job ORDER BY id DESC LIMIT 1").fetchone()
        return int(row[0]) if row else 0

    def do(self, command: str, argument: object = None) -> Any:
        self.start(command, argument)
        answer = self.ended()
        assert answer is not None, f"{command} failed: what it said stands above"
        return answer[0]


@pytest.fixture
def inside() -> Iterator[Inside]:
    with temporary_dir("tollkeeper-restating-") as directory:
        prepared.lay_out(directory)
        with Servers(directory) as servers:
            inside = Inside(servers, directory)
            yield inside
            inside.close()


def _kill_at_random(inside: Inside) -> int:
    """Let workers restate, and kill -9 each where a random number of entries was looked at; returns how many died.

    The first dies as soon as it runs. A later one that has little left may be through before it is killed: then there
    is nobody left to kill.
    """
    rng = random.Random(11)
    marks = [-1, *sorted(rng.randrange(ENTRIES // 5) for _ in range(KILLS - 1))]
    for killed, mark in enumerate(marks):
        process = inside.start("work", killed)
        until(lambda: not process.is_running() or inside.looked_at() > mark, patience_s=120, what="some progress")  # noqa: B023
        time.sleep(rng.uniform(0, 0.05))  # anywhere in a batch, and not always where one has just committed
        with suppress(psutil.NoSuchProcess):
            process.kill()
        if inside.ended() is not None:
            assert killed, "the first ended before it could be killed"
            return killed
    return len(marks)


def _agree(done: dict[str, Any], expected: dict[str, Any]) -> None:
    assert done["lines"] == done["entries"] == expected["entries"] == ENTRIES // 5
    assert Decimal(done["before_usd"]) == Decimal(expected["before_usd"])
    assert Decimal(done["after_usd"]) == Decimal(expected["after_usd"])


def test_corrections_add_up_to_a_pricing_from_scratch_even_where_workers_are_killed_at_random(inside):
    inside.do("fill", ENTRIES)
    expected = inside.do("preview", "27.5")
    inside.do("correct", "27.5")

    killed = _kill_at_random(inside)
    inside.do("work", killed)

    _agree(inside.do("verify", "27.5"), expected)

    # And once more, undisturbed: what is adjusted already is adjusted again.
    expected = inside.do("preview", "31")
    inside.do("correct", "31")

    took = inside.do("work", killed)

    _agree(inside.do("verify", "31"), expected)
    sys.stdout.write(f"preview {expected['seconds']:.2f} s, run {took:.1f} s over {ENTRIES // 5:,} of {ENTRIES:,}\n")
    if FULL:
        assert expected["seconds"] < PREVIEW_S
        assert took < RUN_S
