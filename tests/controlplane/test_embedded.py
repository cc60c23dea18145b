"""The embedded servers survive what a power cut does, and their directory speaks only while they run."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from pathlib import Path

import psycopg
import pytest
import redis

from controlplane.embedded import discovery, places
from controlplane.embedded.servers import Servers, temporary_dir


def kept(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (at timestamptz DEFAULT now())")
        connection.execute("INSERT INTO kept DEFAULT VALUES")
        return connection.execute("SELECT count(*) FROM kept").fetchone()[0]


def test_a_killed_postgresql_starts_again_at_the_same_address_with_what_was_committed(servers):
    url = servers.postgres.url
    before = kept(url)

    servers.postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    servers.postgres.start()

    assert servers.postgres.url == url
    assert kept(url) == before + 1


def test_a_postgresql_whose_main_process_alone_was_killed_starts_again(servers):
    before = kept(servers.postgres.url)

    os.kill(servers.postgres.process.pid, signal.SIGKILL)
    servers.postgres.process.wait()
    servers.postgres.start()

    assert kept(servers.postgres.url) == before + 1


def test_a_pid_file_whose_number_belongs_to_somebody_else_by_now_is_no_obstacle(servers):
    before = kept(servers.postgres.url)
    servers.postgres.kill()
    path = servers.postgres.cluster / "postmaster.pid"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    servers.postgres.start()

    assert kept(servers.postgres.url) == before + 1


def test_what_was_answered_is_kept_because_nothing_is_switched_off(servers):
    with psycopg.connect(servers.postgres.url) as connection:
        found = [connection.execute(f"SHOW {name}").fetchone()[0] for name in ("fsync", "synchronous_commit")]

    assert found == ["on", "on"]


def test_a_killed_redis_starts_again_at_the_same_address_and_is_empty(servers):
    client = redis.from_url(servers.redis.url)
    client.set("nudge", "1")

    servers.redis.kill()
    servers.redis.start()

    assert client.get("nudge") is None


def test_nothing_listens_on_the_network_and_only_owners_reach_the_sockets(servers):
    with psycopg.connect(servers.postgres.url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    assert redis.from_url(servers.redis.url).config_get("port") == {"port": "0"}

    sockets = places.socket_dir(servers.data_dir)
    assert [stat.S_IMODE((sockets / name).stat().st_mode) for name in ("postgres", "redis")] == [0o700, 0o700]


def test_a_second_owner_of_the_directory_is_refused(servers):
    with pytest.raises(places.Refused, match="is in use by process"):
        Servers(servers.data_dir).start()


def test_keys_are_made_once_and_are_readable_by_their_owner_alone(empty_dir):
    made = discovery.make_secrets(empty_dir)

    assert discovery.make_secrets(empty_dir) == made == discovery.defaults(empty_dir)
    assert stat.S_IMODE((empty_dir / "secrets.env").stat().st_mode) == 0o600
    assert len(made["TOLLKEEPER_SECRET_KEY"]) >= 50


def test_addresses_hold_only_while_the_process_that_wrote_them_lives(empty_dir):
    (empty_dir / "run").mkdir()
    discovery.record(empty_dir, {"REDIS_URL": "unix:///somewhere"})
    while_it_lives = dict(discovery.defaults(empty_dir))
    gone = subprocess.Popen(["true"])
    gone.wait()
    path = empty_dir / "run" / "environment.json"
    path.write_text(path.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {gone.pid}'))

    assert while_it_lives == {"REDIS_URL": "unix:///somewhere"}
    assert discovery.defaults(empty_dir) == {}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x", "environment": {}}', '{"pid": 1}', "null"])
def test_a_file_that_makes_no_sense_says_nothing(empty_dir, content):
    (empty_dir / "run").mkdir()
    (empty_dir / "run" / "environment.json").write_text(content)

    assert discovery.defaults(empty_dir) == {}


def test_a_path_too_long_for_sockets_gets_a_short_one_of_its_own_that_stays_the_same(empty_dir):
    deep = empty_dir.joinpath(*["a-rather-long-name-of-a-directory"] * 4)

    place = places.socket_dir(deep)

    try:
        assert place == places.socket_dir(deep)
        assert len(str(place)) < 80
        assert place != deep / "run"
    finally:
        place.rmdir()


def test_a_later_start_needs_less_room_than_the_first(empty_dir):
    def free(place: Path) -> int:
        return places.LATER_START_BYTES

    with pytest.raises(places.Refused, match="the demo needs 1000 MB"):
        places.check_room(empty_dir, free=free)
    (empty_dir / "postgres").mkdir()
    places.check_room(empty_dir, free=free)


def test_a_temporary_directory_is_nobody_elses_while_its_servers_rest_and_goes_when_its_owner_is_gone():
    prefix = f"tollkeeper-resting-{os.getpid()}-"
    with temporary_dir(prefix) as ours:
        with Servers(ours, postgres=False):
            pass
        with temporary_dir(prefix) as other:
            left = other.parent / f"{prefix}left"
            (left / "run").mkdir(parents=True)
            (left / "run" / "lock").touch()
        with temporary_dir(prefix):
            found = ours.exists(), other.exists(), left.exists()

    assert found == (True, False, False)
    assert not ours.exists()
