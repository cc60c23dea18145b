"""docker-compose.yml says what processes.py says, and each of its commands works against real servers."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import yaml
from redis import Redis

from controlplane.embedded.servers import POSTGRES_SETTINGS, REDIS_SETTINGS, Servers, die_with_parent, temporary_dir
from controlplane.processes import PROCESSES
from tests import prepared
from tests.controlplane.conftest import a_free_port, bare_environment
from tests.running import eventually

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = [process.name for process in PROCESSES]
PATIENCE_SECONDS = 180  # what a crowded machine may take; nobody waits that long otherwise
UP = {
    "web": "Started worker-1", "publisher": "publisher ready",
    "intake": " ready.", "alerts": " ready.", "background": " ready.",
}  # fmt: skip


class House:
    """Our services as their containers would run them, with host, port and volume replaced."""

    def __init__(self, servers: Servers, data: Path) -> None:
        self.servers = servers
        self.port = a_free_port()
        self.data = data
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = bare_environment(
            DATABASE_URL=servers.postgres.url,
            REDIS_URL=servers.redis.url,
            TOLLKEEPER_SECRET_KEY="only-for-tests",
            TOLLKEEPER_ENCRYPTION_KEYS="dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk=",
            PATH=f"{Path(sys.executable).parent}:/usr/bin:/bin",
        )

    def here(self, word: str) -> str:
        return word.replace("0.0.0.0", "127.0.0.1").replace("8000", str(self.port)).replace("/data", str(self.data))

    def run_once(self, name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.here(word) for word in SERVICES[name]["command"]],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip

    def start(self, name: str) -> None:
        with (self.data / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [self.here(word) for word in SERVICES[name]["command"]],
                cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )  # fmt: skip

    def healthy(self, name: str) -> bool:
        """What Docker would find by running the service's health check once."""
        kind, *words = SERVICES[name]["healthcheck"]["test"]
        # Compose turns $$ into $ before a shell sees it.
        words = [self.here(word).replace("$$", "$") for word in words]
        command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, check=False).returncode == 0

    def becomes_healthy(self, name: str) -> bool:
        """What Docker would find: it asks again before it gives a container up."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.healthy(name):
            if time.monotonic() > deadline or self.processes[name].poll() is not None:
                return False
        return True

    def starts(self, name: str) -> bool:
        """Wait until the process says that it is up; asking the health check meanwhile would only slow it down."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self.processes[name].poll() is None:
            if self.healthy(name) if name == "scheduler" else UP[name] in self.log(name):
                return True
            time.sleep(0.05)
        return False

    def log(self, name: str) -> str:
        return (self.data / f"{name}.log").read_text()

    def status(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        return connection.getresponse().status

    def stop(self, name: str, grace_seconds: float) -> int:
        self.processes[name].send_signal(signal.SIGTERM)
        return self.processes[name].wait(grace_seconds)

    def kill(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with its workers, which would live on
                process.wait()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with ExitStack() as stack:
        directory = stack.enter_context(temporary_dir())
        prepared.lay_out(directory)
        house = House(stack.enter_context(Servers(directory)), tmp_path_factory.mktemp("house"))
        stack.callback(house.kill)
        migrated = house.run_once("migrate")
        assert migrated.returncode == 0, migrated.stdout + migrated.stderr
        for name in OURS:
            house.start(name)
        yield house


def test_every_process_is_a_service_with_the_same_command_and_grace():
    for process in PROCESSES:
        service = SERVICES[process.name]

        assert service["command"] == process.argv(host="0.0.0.0", port=8000, data="/data"), process.name
        assert service["stop_grace_period"] == f"{process.grace_seconds:g}s", process.name


def test_there_is_no_service_that_nobody_knows():
    assert set(SERVICES) == {*OURS, "migrate", "postgres", "redis"}


def test_postgres_and_redis_have_the_settings_of_the_embedded_ones():
    words = SERVICES["postgres"]["command"]
    assert words[0] == "postgres"
    assert words[1::2] == ["-c"] * len(POSTGRES_SETTINGS)
    assert dict(word.split("=") for word in words[2::2]) == POSTGRES_SETTINGS
    assert SERVICES["postgres"]["image"] == "postgres:18"

    words = SERVICES["redis"]["command"]
    assert dict(zip(words[1::2], words[2::2], strict=True)) == {f"--{k}": v for k, v in REDIS_SETTINGS.items()}


def test_our_processes_wait_for_the_migration_and_the_migration_for_postgres():
    for name in OURS:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}, name
    assert SERVICES["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}


def test_everything_that_keeps_running_has_a_health_check_and_starts_again():
    for name in set(SERVICES) - {"migrate"}:
        assert SERVICES[name]["healthcheck"]["test"], name
        assert SERVICES[name]["restart"] == "unless-stopped", name


def test_what_must_survive_lies_in_named_volumes():
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}

    assert used == set(COMPOSE["volumes"]) == {"postgres", "scheduler"}


def test_the_image_runs_the_web_process_unless_told_otherwise():
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    line = next(line for line in text.splitlines() if line.startswith("CMD "))

    assert yaml.safe_load(line.removeprefix("CMD ")) == SERVICES["web"]["command"]


def test_the_image_holds_everything_that_is_imported_and_nothing_that_is_secret():
    kept = {line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}

    assert packages | {"templates", "manage.py", "requirements/base.lock"} <= kept
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
    assert not [name for name in kept if name.startswith(".")]


def test_each_service_starts_and_becomes_healthy_and_stops_when_told(house):
    started = {name: house.starts(name) for name in OURS}
    healthy = {name: house.becomes_healthy(name) for name in OURS}

    assert started == healthy == dict.fromkeys(OURS, True), {
        name: house.log(name) for name in OURS if not healthy[name]
    }
    for name in ("publisher", "scheduler", "intake", "alerts", "background"):
        grace = SERVICES[name]["stop_grace_period"].removesuffix("s")
        assert house.stop(name, float(grace)) in (0, -signal.SIGTERM), name


def test_without_its_database_web_lives_and_is_not_ready_and_recovers_by_itself(house):
    assert house.starts("web"), house.log("web")

    house.servers.postgres.kill()
    down = house.status("/healthz"), house.status("/readyz"), house.healthy("web")
    house.servers.postgres.start()

    assert down == (200, 503, False)
    assert eventually(lambda: house.status("/readyz") == 200)
    assert house.healthy("web")


def test_without_redis_web_stays_ready(house):
    # Redis is taken from services that are up; how they would start without it is not asked here.
    for name, process in house.processes.items():
        assert process.poll() is not None or house.starts(name), house.log(name)

    house.servers.redis.kill()
    down = house.status("/readyz")
    house.servers.redis.start()

    assert down == 200


def test_a_worker_that_loses_redis_with_nudges_in_its_hands_goes_on(house):
    for name in ("scheduler", "intake"):  # the one nudges, the other takes it up
        if house.processes[name].poll() is not None:
            house.start(name)
        assert house.starts(name), house.log(name)
    redis = Redis.from_url(house.servers.redis.url)

    def taken() -> bool:
        """A nudge is with the worker, which has not acknowledged it."""
        return any(json.loads(told)[2] == "intake" for told in redis.hvals("unacked"))

    pool = psutil.Process(house.processes["intake"].pid).children()
    for child in pool:
        child.suspend()  # a nudge is acknowledged when one of them begins with it
    assert eventually(taken)
    losses = house.log("intake").count("Connection to broker lost")

    house.servers.redis.kill()
    house.servers.redis.start()
    assert eventually(lambda: house.log("intake").count("Connection to broker lost") > losses)
    for child in pool:
        child.resume()

    assert house.becomes_healthy("intake"), house.log("intake")
    assert eventually(lambda: redis.llen("intake") == 0 and not taken())
