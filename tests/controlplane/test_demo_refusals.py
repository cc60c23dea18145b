"""Whatever can be known to go wrong beforehand is one sentence on standard error and exit code 2."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane import demo
from controlplane.embedded import places
from tests.controlplane.conftest import bare_environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch):
    for name in ("DATABASE_URL", "REDIS_URL", "TOLLKEEPER_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


def refusal(capsys, *arguments: str, **injected) -> str:
    """Run the demo and return the one sentence it ends with; it prints nothing else."""
    code = demo.main(arguments, **injected)
    out, said = capsys.readouterr()
    assert (code, out, said.count("\n")) == (2, "", 1), said
    return said


def test_a_taken_port(capsys, empty_dir):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        said = refusal(capsys, "--port", port, "--data-dir", str(empty_dir))

    assert said == f"Port {port} on 127.0.0.1 is taken; choose another with --port.\n"
    assert list(empty_dir.iterdir()) == []


def test_a_data_directory_in_use(capsys, empty_dir, free_port):
    places.prepare_data_dir(empty_dir, account=None)
    with places.hold(empty_dir):
        said = refusal(capsys, "--port", str(free_port), "--data-dir", str(empty_dir))

    assert said.startswith(f"The data directory {empty_dir} is in use by process {os.getpid()};")


def test_a_data_directory_below_a_place_that_may_not_be_entered_is_refused_and_nothing_is_opened_up(
    capsys, empty_dir, free_port
):
    closed = empty_dir / "closed"
    closed.mkdir(mode=0o700 if os.geteuid() == 0 else 0o600)

    said = refusal(capsys, "--port", str(free_port), "--data-dir", str(closed / "data"))

    assert f"may not enter {closed}" in said
    assert stat.S_IMODE(closed.stat().st_mode) in (0o700, 0o600)


def test_a_data_directory_that_is_a_file(capsys, empty_dir, free_port):
    (empty_dir / "file").write_text("")

    said = refusal(capsys, "--port", str(free_port), "--data-dir", str(empty_dir / "file"))

    assert "cannot be used" in said


def test_a_data_directory_that_holds_something_else(capsys, empty_dir, free_port):
    (empty_dir / "thesis.tex").write_text("years of work")

    said = refusal(capsys, "--port", str(free_port), "--data-dir", str(empty_dir))

    assert said == f"The data directory {empty_dir} holds other files; choose an empty one with --data-dir.\n"


def test_a_disk_without_room(capsys, empty_dir, free_port):
    said = refusal(
        capsys, "--port", str(free_port), "--data-dir", str(empty_dir / "new"), free=lambda place: 5 * 1024 * 1024
    )

    assert said == (
        f"The disk below {empty_dir / 'new'} has 5 MB free and the demo needs 1000 MB; "
        "make room or choose another place with --data-dir.\n"
    )
    places.hold(empty_dir / "new").close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "eighty"], "Argument --port: invalid int value: 'eighty'; see"),
        (["--port", "0"], "0 is not a port; choose one from 1 to 65535 with --port."),
        (["--port", "65536"], "65536 is not a port; choose one from 1 to 65535 with --port."),
        (["--host", "203.0.113.9", "--port", "8000"], "Nothing can listen on 203.0.113.9:"),
        (["--sed"], "Unrecognized arguments: --sed; see"),
    ],
)
def test_arguments_that_make_no_sense(capsys, arguments, says):
    assert refusal(capsys, *arguments).startswith(says)


def test_a_refusal_reaches_the_person_through_manage_py_without_a_traceback():
    ended = subprocess.run(
        [sys.executable, "manage.py", "demo", "--port", "0"],
        cwd=ROOT, env=bare_environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "0 is not a port; choose one from 1 to 65535 with --port.\n"
