"""The comparison with Unleash: where it cannot be had, the figure says why and nothing else is held up."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from controlplane.bench import unleash


@pytest.fixture
def path(monkeypatch, tmp_path) -> Path:
    """Have a PATH of its own with nothing on it, and a home where nothing is installed."""
    monkeypatch.setattr(unleash, "HOME", tmp_path / "home")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def put(path: Path, name: str, script: str) -> None:
    (path / name).write_text(f"#!/bin/sh\n{script}\n")
    (path / name).chmod((path / name).stat().st_mode | stat.S_IEXEC)


def test_a_machine_without_node_is_told_so(path):
    (figure,) = unleash.measure(rounds=1)

    assert (figure.value, figure.limit, figure.meets) == (None, None, True)
    assert figure.note == "Unleash needs Node and npm, and this machine has none"


def test_an_install_that_fails_says_what_npm_said_and_is_tried_again(path):
    put(path, "node", "exit 0")
    put(path, "npm", "echo 'no such host' >&2; exit 1")

    notes = {unleash.measure(rounds=1)[0].note for _ in range(2)}

    assert notes == {"Unleash could not be installed: no such host"}
    assert not (unleash.HOME / ".installed").exists()


def test_what_is_installed_is_not_installed_again_until_the_lock_changes(path, monkeypatch, tmp_path):
    put(path, "node", "exit 0")
    put(path, "npm", "echo once >> installed")
    lock = tmp_path / "lock"
    lock.mkdir()
    (lock / "package.json").write_text("{}")
    monkeypatch.setattr(unleash, "LOCK", lock)

    unleash._install()
    unleash._install()
    before = (unleash.HOME / "installed").read_text()
    (lock / "package.json").write_text('{"version": "1"}')
    unleash._install()

    assert (before, (unleash.HOME / "installed").read_text()) == ("once\n", "once\nonce\n")


def test_the_lock_names_checksums_and_no_place_to_fetch_from():
    packages = json.loads((unleash.LOCK / "package-lock.json").read_text())["packages"]
    wanted = json.loads((unleash.LOCK / "package.json").read_text())["dependencies"]

    others = {name: one for name, one in packages.items() if name}
    assert packages[""]["dependencies"] == wanted
    assert packages["node_modules/unleash-server"]["version"] == wanted["unleash-server"]
    assert all("integrity" in one and "resolved" not in one for one in others.values())
