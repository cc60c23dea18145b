"""What the Python client does with events: fills them in, spools them, sends them until the server has spoken."""

from __future__ import annotations

import json
import os
import pwd
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest
from tollkeeper_client import Tollkeeper, event_of, new_id
from tollkeeper_client.http import Line as HttpLine
from tollkeeper_client.posting import Poster
from tollkeeper_client.rules import evaluator
from tollkeeper_client.spool import LEFT_BEHIND_SECONDS, Spool

from tests.clients.python.far_side import CONTEXT, FLASH, Line, document, given, kept, problem, same
from tests.drawing import FULL
from tests.running import ROOT, eventually

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOURCE = ROOT / "clients/python/src"


@pytest.fixture
def spool(tmp_path):
    found = Spool(tmp_path / "events.sqlite3", sender="ours", most_bytes=1_000_000)
    yield found
    found.close()


@pytest.fixture
def poster(far_side, spool):
    line = HttpLine(far_side.url, "a-key")
    yield Poster(line=line, spool=spool, every=2.0)
    line.close()


def put(spool, *numbers):
    for number in numbers:
        spool.add(b'{"id":"e-%d","model":"m"}' % number, at=time.time())


def ids(asked):
    return [event["id"] for event in asked.events]


def test_a_batch_is_let_go_of_when_the_server_has_said_what_became_of_each_event(far_side, spool, poster):
    put(spool, 1, 2, 3)
    far_side.answers(kept(2, (1, "model: empty")))

    pause = poster.post()

    assert ids(far_side.last) == ["e-1", "e-2", "e-3"]
    assert (far_side.last.path, far_side.last.headers["Content-Encoding"]) == ("/api/v1/usage/events", "gzip")
    assert far_side.last.headers["Authorization"] == "Bearer a-key"
    assert spool.totals()[:3] == (0, 0, 2)
    assert spool.totals().refused == 1
    assert poster.last_refusal == "event e-2: model: empty"
    assert pause == 0


NOT_KEPT = {
    "401": problem(401, "authentication-failed"),
    "403": problem(403, "not-allowed"),
    "404": problem(404, "not-found"),
    "no gateway": problem(422, "invalid"),
    "429": problem(429, "limit-reached", **{"Retry-After": "2"}),
    "500": Line(500, b"<h1>Server Error</h1>"),
    "503": problem(503, "unavailable"),
    "a page": Line(200, b"<html>Sign in to the hotel's network</html>"),
    "a page with 202": Line(202, b"queued"),
    "another's 400": Line(400, b"<html>Bad request</html>"),
    "cut off": kept(1)._replace(claimed=10_000),
    "nothing": Line(0),
}


@pytest.mark.parametrize("answer", NOT_KEPT.values(), ids=NOT_KEPT)
def test_whatever_else_the_server_says_the_events_stay_and_are_sent_again(far_side, spool, poster, answer):
    put(spool, 1)
    far_side.answers(answer, kept(1))

    pause = poster.post()

    assert spool.totals().waiting == 1
    assert poster.error
    assert pause >= (2 if "Retry-After" in answer.headers else 0.5)
    poster.post()
    assert ids(far_side.last) == ["e-1"]
    assert (spool.totals().waiting, poster.error) == (0, None)


def test_pauses_grow_to_two_minutes_and_begin_anew_after_an_answer(far_side, spool, poster):
    far_side.otherwise = lambda asked: problem(503)
    put(spool, 1)

    pauses = [poster.post() for _ in range(12)]
    far_side.otherwise = lambda asked: kept(1)
    poster.post()
    put(spool, 2)
    far_side.otherwise = lambda asked: problem(503)

    assert all(60 <= pause <= 120 for pause in pauses[7:])
    assert poster.post() <= 1


@pytest.mark.parametrize("status", [413, 400])
def test_what_is_too_much_is_sent_in_halves_and_only_the_one_that_does_not_pass_alone_is_given_up(
    far_side, spool, poster, status
):
    put(spool, *range(8))
    refuses = problem(status, "too-large" if status == 413 else "malformed")
    far_side.otherwise = lambda asked: refuses if "e-5" in ids(asked) else kept(len(asked.events))

    while spool.waits():
        assert poster.post() == 0

    taken = [event for asked in far_side.asked if "e-5" not in ids(asked) for event in ids(asked)]
    assert sorted(taken) == [f"e-{number}" for number in range(8) if number != 5]
    assert (spool.totals().sent, spool.totals().refused) == (7, 1)
    assert poster.last_refusal == "event e-5: a sentence"


def test_a_full_spool_drops_the_oldest_and_says_how_many(tmp_path):
    spool = Spool(tmp_path / "events.sqlite3", sender="ours", most_bytes=10_000)
    put(spool, *range(1000))

    totals = spool.totals()
    left = [json.loads(event.body)["id"] for event in spool.next(most=1000, most_bytes=10**9, at=0)]

    assert totals.bytes <= 10_000
    assert totals.waiting + totals.dropped == 1000
    assert left == [f"e-{number}" for number in range(1000 - totals.waiting, 1000)]
    spool.close()


def test_what_a_rotated_key_left_behind_is_sent_after_an_hour_and_what_a_neighbour_spooled_is_not(tmp_path):
    path = tmp_path / "events.sqlite3"
    neighbour, ours = (Spool(path, sender=sender, most_bytes=10_000) for sender in ("theirs", "ours"))
    now = time.time()
    neighbour.add(b'{"id":"old"}', at=now - LEFT_BEHIND_SECONDS - 60)
    neighbour.add(b'{"id":"theirs"}', at=now - 60)
    ours.add(b'{"id":"ours"}', at=now)

    found = [json.loads(event.body)["id"] for event in ours.next(most=10, most_bytes=10**6, at=now)]

    assert found == ["old", "ours"]
    assert ours.my_turn()
    assert neighbour.my_turn()  # a key that waits for its server holds up nobody else's
    ours.close()
    neighbour.close()


def test_one_of_the_processes_with_a_key_sends_and_the_next_one_when_it_has_gone(tmp_path):
    first, second = (Spool(tmp_path / "events.sqlite3", sender="ours", most_bytes=10_000) for _ in range(2))

    turns = [first.my_turn(), second.my_turn(), first.my_turn()]
    first.close()

    assert turns == [True, False, True]
    assert second.my_turn()
    second.close()


@pytest.mark.parametrize("spoil", [lambda data: b"not a database" * 100, lambda data: data[:5000] + b"\0" * 9000])
def test_a_broken_spool_is_set_aside_and_a_new_one_begun(tmp_path, spoil):
    path = tmp_path / "events.sqlite3"
    spool = Spool(path, sender="ours", most_bytes=1_000_000)
    put(spool, *range(500))
    spool.close()
    path.write_bytes(spoil(path.read_bytes()))

    put(spool, 7)

    assert [event.body for event in spool.next(most=9, most_bytes=10**6, at=0)] == [b'{"id":"e-7","model":"m"}']
    assert len(list(tmp_path.glob("events.sqlite3.broken-*"))) == 1
    spool.close()


def test_a_spool_that_breaks_under_our_hands_is_set_aside_with_the_next_event(tmp_path):
    path = tmp_path / "events.sqlite3"
    spool, neighbour = (Spool(path, sender="ours", most_bytes=1_000_000) for _ in range(2))
    put(spool, *range(500))
    put(neighbour, 500)  # so that the other has to look again
    for file in (path, path.with_name("events.sqlite3-wal")):
        data = bytearray(file.read_bytes())
        data[32:] = b"not a database" * (len(data) // 14)
        file.write_bytes(data)

    with pytest.raises(sqlite3.DatabaseError, match=r"malformed|not a database"):
        put(spool, 501)
    put(spool, 7)

    assert len(list(tmp_path.glob("events.sqlite3.broken-*"))) >= 1
    assert spool.totals().waiting == 1
    neighbour.close()
    spool.close()


def test_a_directory_that_cannot_be_written_costs_the_disk_and_not_the_work(far_side, tmp_path):
    (tmp_path / "file").write_text("in the way")
    client = Tollkeeper(far_side.url, "a-key", data_dir=tmp_path / "file" / "below")
    far_side.answers(given(document()), kept(1))

    client.refresh()
    client.report({"model": "m"})

    assert not client.status().on_disk
    assert client.decide(CONTEXT).version == 1
    assert client.flush(5)
    assert len(far_side.events) == 1
    client.close()


def test_a_spool_that_cannot_be_written_is_counted_and_said_and_raises_nothing(far_side, tmp_path):
    client = Tollkeeper(far_side.url, "a-key", data_dir=tmp_path)
    (client._settings.spool_file).mkdir()

    told = client.report({"model": "m"})

    assert told is None
    assert client.status().dropped == 1
    assert "the spool cannot be used" in client.status().disk_error
    client.close()


def test_events_are_nobody_elses_to_read_even_where_the_directory_is(far_side, tmp_path):
    tmp_path.chmod(0o755)
    client = Tollkeeper(far_side.url, "a-key", data_dir=tmp_path)

    client.report({"model": "m", "user": "ada"})

    assert len(list(tmp_path.glob("events-*"))) >= 3  # beside the database there is its log
    assert [file.name for file in tmp_path.iterdir() if file.stat().st_mode & 0o077] == []
    client.close()


def test_a_directory_that_somebody_else_made_first_is_not_used(tmp_path, monkeypatch, caplog):
    for name in ("HOME", "XDG_STATE_HOME", "LOCALAPPDATA", "TOLLKEEPER_CLIENT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # a user without a home
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shared = tmp_path / f"tollkeeper-{os.getuid()}"

    ours = Tollkeeper("http://127.0.0.1:9", "a-key").status().on_disk
    shared.chmod(0o777)
    others = Tollkeeper("http://127.0.0.1:9", "a-key").status().on_disk

    assert (ours, others) == (True, False)
    assert "others may write there" in caplog.text


@pytest.mark.parametrize(
    "event",
    [{}, {"model": "m", "latency_ms": float("nan")}, {"model": "m", "tags": {"a": "x" * 300_000}}, None, "m", [1]],
)
def test_what_can_never_be_an_event_is_counted_and_raises_nothing(far_side, tmp_path, event):
    client = Tollkeeper(far_side.url, "a-key", data_dir=tmp_path)

    assert client.report(event) is None
    assert (client.status().dropped, client.status().waiting) == (1, 0)
    client.close()


def test_an_event_gets_an_id_and_a_time_and_its_usage_object_as_the_sdk_gave_it(far_side, tmp_path):
    client = Tollkeeper(far_side.url, "a-key", data_dir=tmp_path)
    far_side.answers(kept(2))
    usage = SimpleNamespace(
        input_tokens=12, output_tokens=3, cache_creation=SimpleNamespace(ephemeral_5m_input_tokens=4)
    )

    made = client.report({"model": "m", "usage": usage, "reported_cost_usd": Decimal("0.10")})
    client.report({"id": "mine", "time": NOW, "model": "m"})
    client.flush(5)

    first, second = far_side.events
    assert first["id"] == made
    assert abs(datetime.fromisoformat(first["time"]).timestamp() - time.time()) < 60
    assert first["usage"] == {
        "input_tokens": 12,
        "output_tokens": 3,
        "cache_creation": {"ephemeral_5m_input_tokens": 4},
    }
    assert first["reported_cost_usd"] == "0.10"
    assert (second["id"], second["time"]) == ("mine", "2026-11-21T12:00:00+00:00")
    client.close()


def test_ids_are_uuids_of_version_7_that_sort_by_time():
    made = [new_id(at) for at in (1.0, 1.5, 1_800_000_000.0, 1_800_000_000.5)]

    assert made == sorted(made)
    assert {(value[14], value[19] in "89ab") for value in made} == {("7", True)}
    assert len({new_id(1.0) for _ in range(1000)}) == 1000


def test_an_event_of_a_decision_says_which_rule_sent_it_and_what_it_was_held_for():
    context = CONTEXT | {
        "team": "support", "user": "u-1", "user_tier": "paid", "complexity": 0, "batch": False, "input_tokens": 900,
        "tags": {"env": "prod", "n": 1}, "text": "secret words", "data_class": None,
    }  # fmt: skip
    decision = evaluator.compile(document(4, 9)).decide(context, NOW)

    event = event_of(decision, context, usage={"prompt_tokens": 1}, latency_ms=12, tags={"app": "x"}, session=None)

    assert event == {
        "use_case": "code-review", "team": "support", "session": "s-1", "user": "u-1", "rules_version": 4,
        "state_revision": 9, "route_reason": "rule", "fallback_index": 0, "rule_id": "code",
        "model": "claude-opus-4.7", "provider": "anthropic", "latency_ms": 12, "usage": {"prompt_tokens": 1},
        "context": {"user_tier": "paid", "batch": "false", "task": "code", "complexity": "0"},
        "tags": {"env": "prod", "app": "x"},
    }  # fmt: skip


def test_an_event_of_a_fallback_names_it_and_its_place_and_a_blocked_one_what_was_asked_for():
    decision = evaluator.compile(document()).decide(CONTEXT, NOW)
    blocked = decision._replace(offering=None, model=None, provider=None, reason="budget_blocks")

    fallback = event_of(decision, CONTEXT, offering=FLASH)

    assert (fallback["model"], fallback["provider"], fallback["fallback_index"]) == ("deepseek-v4-flash", "deepseek", 1)
    assert event_of(blocked, CONTEXT, requested_model="gpt-5.5")["model"] == "gpt-5.5"
    assert event_of(blocked, CONTEXT)["status"] == "blocked"
    assert event_of(None, CONTEXT, model="gpt-5.5")["use_case"] == "code-review"
    with pytest.raises(ValueError, match="neither"):
        event_of(decision, CONTEXT, offering="gpt-5.5@openai")


# --- processes that begin together, that end, and that fork


def run(script: str, *arguments: str, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


BEGINS = """
import sys
from tollkeeper_client import Tollkeeper
client = Tollkeeper("http://127.0.0.1:9", "a-key", data_dir=sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(sum(client.report({"model": "m"}) is not None for _ in range(50)))
"""


def test_processes_that_begin_together_make_one_spool_and_lose_nothing(far_side, tmp_path):
    processes = [run(BEGINS, str(tmp_path), stdin=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        process.stdout.readline()

    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    kept_by_each = [process.communicate(timeout=60)[0] for process in processes]

    client = Tollkeeper("http://127.0.0.1:9", "a-key", data_dir=tmp_path)
    assert kept_by_each == ["50\n"] * 4
    assert client.status().waiting == 200
    client.close()


REPORTS = """
import sys
from tollkeeper_client import Tollkeeper
client = Tollkeeper(sys.argv[1], "a-key", data_dir=sys.argv[2], send_every=0.01)
client.report({"model": "m", "id": "first"})
client.flush()
client.start()
while True:
    print(client.report({"model": "m"}), flush=True)
"""


@pytest.mark.soak
@pytest.mark.parametrize("_", range(20 if FULL else 1))
def test_what_report_returned_from_survives_kill_9_in_the_middle_of_sending(far_side, tmp_path, _):
    held = threading.Event()
    answers = [kept(1), kept(1)._replace(wait_for=held)]
    far_side.otherwise = lambda asked: answers.pop(0) if asked.method == "POST" else problem(503)
    process = run(REPORTS, far_side.url, str(tmp_path))
    assert process.stdout is not None
    reported: list[str] = []
    while answers or len(reported) < 200:
        reported.append(process.stdout.readline().strip())

    os.kill(process.pid, signal.SIGKILL)
    reported += process.stdout.read().split("\n")[:-1]
    process.wait()
    process.stdout.close()
    held.set()
    far_side.otherwise = lambda asked: kept(len(asked.events))
    first, in_the_middle = [asked for asked in far_side.asked if asked.method == "POST"]
    client = Tollkeeper(far_side.url, "a-key", data_dir=tmp_path)
    before = len(far_side.asked)
    sent = client.flush(10)

    again = [event["id"] for asked in far_side.asked[before:] for event in asked.events]
    assert sent
    assert set(reported) <= {event["id"] for event in far_side.events}
    assert set(ids(in_the_middle)) <= set(again)
    assert set(ids(first)) & set(again) == set()
    assert len(again) == len(set(again))
    client.close()


KEEPS = """
import sys
from pathlib import Path
from tollkeeper_client import kept
bodies = [letter.encode() * 2_000_000 for letter in "ab"]
print("ready", flush=True)
while True:
    for body in bodies:
        kept.save(Path(sys.argv[1]), kept.KeptRules('"1.1"', None, body))
"""


@pytest.mark.soak
def test_rules_are_kept_whole_whenever_their_writer_is_killed(tmp_path):
    from tollkeeper_client import kept as keeping

    path = tmp_path / "rules.json"
    for _ in range(50 if FULL else 2):
        process = run(KEEPS, str(path))
        assert process.stdout is not None
        process.stdout.readline()
        eventually(path.exists)
        time.sleep(random.uniform(0.0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()

        found = keeping.load(path)

        assert found is not None
        assert len(found.body) == 2_000_000


FORKS = """
import os, sys, time
from tollkeeper_client import Tollkeeper, event_of
client = Tollkeeper(sys.argv[1], "a-key", data_dir=sys.argv[2], send_every=0.01).start()
client.ready()
client.report({"id": "parent", "model": "m"})
assert client.flush()
parent = os.getpid()
if os.fork():
    client.report({"id": "parent again", "model": "m"})
    os._exit(0 if client.flush() else 1)
while os.getppid() == parent:  # what it held is free when it has gone
    time.sleep(0.01)
context = {"task": "code"}
client.report(event_of(client.decide(context), context, id="child"))
assert client.flush()
client.close()
print("well")
"""


def test_a_forked_process_polls_and_reports_by_itself_and_outlives_its_parent(far_side, tmp_path):
    found = given(document(), Preference_Applied="wait=50")

    def answer(asked):
        if asked.method == "POST":
            return kept(len(asked.events))
        return same('"1.1-gzip"') if asked.tags else found

    far_side.otherwise = answer
    process = run(FORKS, far_side.url, str(tmp_path))
    said, _ = process.communicate(timeout=60)

    assert (process.returncode, said) == (0, "well\n")
    assert sorted(event["id"] for event in far_side.events) == ["child", "parent", "parent again"]
    assert len({asked.query["instance"] for asked in far_side.asked if asked.method == "GET"}) == 2


def test_flush_and_close_take_no_longer_than_they_were_given_whatever_the_server_does(far_side, tmp_path):
    never = threading.Event()
    far_side.otherwise = lambda asked: kept(1)._replace(wait_for=never)
    client = Tollkeeper(far_side.url, "a-key", data_dir=tmp_path, send_every=0.01, wait=0).start()
    client.report({"model": "m"})
    eventually(lambda: any(asked.method == "POST" for asked in far_side.asked))  # the thread is at it
    began = time.monotonic()

    sent = client.flush(0.2)
    client.close(0.2)

    assert not sent
    assert time.monotonic() - began < 2
    assert client.status().waiting == 1
    client.close()
    never.set()
