"""manage.py import_usage: what it says, what it refuses, and that it goes on wherever it was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from tests.usage import making
from tests.usage.checks import assert_each_counts_once, assert_rollups_equal_ledger
from tests.usage.importing import NOON, work
from tests.usage.importing import row as row_at
from tests.usage.waiting import another_connection, until, until_somebody_waits_for_a_lock
from usage.models import ImportPart, LedgerEntry, Receipt, Source, UsageImport
from usage.services import jobs

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[2]


def row(number: int, **overrides):
    return row_at(number, **{"time": (NOON + timedelta(seconds=number)).isoformat(), **overrides})


@pytest.fixture
def file(tmp_path):
    """Write rows into a file and return its path."""

    def write(*rows, name: str = "calls.jsonl") -> str:
        path = tmp_path / name
        path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows))
        return str(path)

    return write


def run(path: str, *options: str, format: str = "native", gateway: str = "edge") -> str:
    out = StringIO()
    call_command("import_usage", path, "--format", format, "--gateway", gateway, *options, stdout=out)
    return out.getvalue()


def test_a_file_is_read_and_told_and_nothing_is_booked(file):
    making.make_gateway()
    making.make_priced_offering()

    said = run(file(row(0), row(1), row(2, input_tokens="many")))

    assert "2 events, 2026-06-15 12:00:00 to 2026-06-15 12:00:01 UTC; 1 items rejected" in said
    assert "support-routing / gpt-5.5@openai: 2 events, 2,000 + 200 tokens, $0.02" in said
    assert "rejected 1 times, first at item 3: input_tokens: expected a whole number" in said
    import_id = UsageImport.objects.get().pk
    assert f"/gateways/imports/{import_id}/" in said
    assert not Source.objects.exists()


def test_a_dry_run_says_the_same_and_keeps_nothing(file):
    making.make_gateway()
    path = file(row(0), row(1, model="not/priced"))

    said = run(path, "--dry-run")

    assert "2 events" in said
    assert "not/priced@openai: 1 events, 1,000 + 100 tokens, unpriced" in said
    assert "Nothing was kept." in said
    assert not UsageImport.objects.exists()


def test_with_yes_it_confirms_and_waits_until_all_is_booked(file):
    making.make_gateway()
    path = file(*(row(number) for number in range(3)))
    run(path)
    with working():
        said = run(path, "--yes", "--note", "the old gateway", "--from", "2026-06-15", "--to", "2026-06-15T12:00:02Z")

    assert "Done: 2 events booked, 1 kept aside." in said
    made = UsageImport.objects.get()
    assert (made.covers.lower, made.covers.upper) == (datetime(2026, 6, 15, tzinfo=UTC), NOON + timedelta(seconds=2))
    assert made.note == "the old gateway"
    assert made.confirmed_by.startswith("manage.py import_usage (")
    assert "Done: 2 events booked" in run(path, "--yes"), "again it says what became of it"
    assert LedgerEntry.objects.count() == 2


@contextmanager
def working():
    """Let a worker work beside, in a thread of its own, until the block ends."""
    from threading import Event, Thread

    done = Event()

    def loop() -> None:
        try:
            while not done.wait(0.01):
                work()
        finally:
            connection.close()

    thread = Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_range_that_is_counted_is_refused_with_the_way_out(file):
    making.make_gateway()
    making.send(making.make_event(occurred_at=NOON))
    path = file(row(0))

    with pytest.raises(CommandError, match="--audit"):
        run(path, "--yes")
    with working():
        said = run(path, "--yes", "--audit")

    assert "Done: 0 events booked, 1 kept aside." in said
    assert LedgerEntry.objects.count() == 1


def test_a_table_is_mapped_by_its_names_by_words_and_by_a_file(file, tmp_path):
    making.make_gateway()
    table = file("when,model,prompt_tokens,Ausgabe,spend", "2026-06-15 14:00:00,gpt-5.5,1000,100,0.5", name="t.csv")
    words = tmp_path / "mapping.json"
    words.write_text(json.dumps({"when": "time", "Ausgabe": "output_tokens"}))

    with pytest.raises(CommandError, match="time: Say which column holds it"):
        run(table, format="csv")
    said = run(table, "--mapping", str(words), "spend=", "--zone", "Europe/Berlin", "--dry-run", format="csv")
    kept = run(table, "--mapping", "when=time", "Ausgabe=output_tokens", "--zone", "Europe/Berlin", format="csv")

    assert "1 events, 2026-06-15 12:00:00 to 2026-06-15 12:00:00 UTC" in said
    assert (
        "Columns: when=time, model=model, prompt_tokens=input_tokens, Ausgabe=output_tokens, spend=reported_cost_usd; "
        "times on the clock of Europe/Berlin"
    ) in kept


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--from", "yesterday"], "--from: write a day"),
        (["--to", "2026-06-15T12:00"], "--to: write a day"),
        (["--mapping", "a=b"], "--mapping and --zone are for tables"),
        (["--environment", "no name"], "not a name"),
    ],
)
def test_what_cannot_be_meant_is_refused(file, options, sentence):
    making.make_gateway()

    with pytest.raises(CommandError, match=sentence):
        run(file(row(0)), *options)

    assert not UsageImport.objects.exists()


def test_a_gateway_is_never_made_on_sight_and_a_file_has_to_be_there(file, tmp_path):
    making.make_gateway()

    with pytest.raises(CommandError, match="Known are: edge"):
        run(file(row(0)), gateway="egde")
    with pytest.raises(CommandError, match="cannot be opened: No such file"):
        run(str(tmp_path / "nowhere"))
    with pytest.raises(CommandError, match="cannot be read"):
        run(file("hello", "there"))
    with pytest.raises(CommandError, match="neither COLUMN=FIELD"):
        run(file("a,b", "1,2"), "--mapping", "nonsense", format="csv")


# --- killed ---


@pytest.fixture
def start():
    """Start the command as a process on the database of the tests."""
    url = another_connection().info
    address = f"postgresql://{url.user}:{url.password}@/{url.dbname}?host={url.host}&port={url.port}"
    started = []

    def begin(path: str, *options: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "import_usage", path, "--format", "native", "--gateway", "edge", *options],
            env={**os.environ, "DATABASE_URL": address}, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def end_of(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out


def kill(process: subprocess.Popen[str]) -> None:
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_while_it_reads_and_while_it_waits_it_goes_on_and_books_each_event_once(file, start):
    making.make_gateway()
    making.make_priced_offering()
    count = 20_000
    path = file(*(row(number) for number in range(count)))

    reading = start(path)
    until(lambda: UsageImport.objects.filter(position__gt=0).exists() or reading.poll() is not None)
    with another_connection() as lock, lock.transaction():
        # It stands between two parts of a transaction that writes both the position and the part.
        lock.execute("LOCK TABLE usage_importpart IN ACCESS EXCLUSIVE MODE")
        until_somebody_waits_for_a_lock("relation")
        kill(reading)
    until(lambda: not _others_in_a_transaction())
    broken_off = UsageImport.objects.get()
    assert broken_off.state == "reading"
    assert 0 < broken_off.events < count
    assert broken_off.events == sum(ImportPart.objects.values_list("event_count", flat=True))

    assert "20,000 events" in end_of(start(path))
    waiting = start(path, "--yes")
    until(lambda: UsageImport.objects.filter(state="booking").exists() or waiting.poll() is not None)
    jobs.run_next(clock=timezone.now)
    kill(waiting)
    assert Receipt.objects.exists()

    last = start(path, "--yes")
    until(lambda: work() or last.poll() is not None)

    assert "Done: 20,000 events booked." in end_of(last)
    assert_each_counts_once({f"call-{number}" for number in range(count)})
    assert_rollups_equal_ledger()


def _others_in_a_transaction() -> list:
    with another_connection() as looking:
        return looking.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
        ).fetchall()
