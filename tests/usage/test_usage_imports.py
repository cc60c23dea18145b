"""Files of past events: read into parts, confirmed, and booked once, whatever happens on the way."""

from __future__ import annotations

import gzip
import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import IntegrityError, connection, transaction

from catalog.models import UseCase
from core.errors import Invalid, NotFound, TooLarge
from core.models import AuditEntry, Job
from tests.factories import make_budget
from tests.usage import making
from tests.usage.checks import (
    assert_counters_equal_ledger,
    assert_each_counts_once,
    assert_rollups_equal_ledger,
    everything_in_the_database,
)
from tests.usage.importing import NOON, lines, row
from tests.usage.importing import work as work_at
from usage.formats import FILE_FORMATS
from usage.formats.contract import FormatSettings
from usage.models import ImportPart, ImportState, LedgerEntry, Receipt, Source, UnsummedEntry, UsageImport
from usage.selectors import freshness
from usage.selectors import imports as selected
from usage.services import booking, imports, intake, jobs
from usage.services.imports import running, summing

pytestmark = pytest.mark.django_db

NOW = NOON + timedelta(days=10)
HOUR = timedelta(hours=1)
PAYLOADS = Path(__file__).parents[1] / "payloads"
NOON_OF_TRACES = datetime(2026, 11, 21, 12, tzinfo=UTC)
SETTINGS = FormatSettings(user_key=b"k", max_events=20_000)
BY = "platform@example.com"


def take(content: bytes, *, name: str = "calls.jsonl", format: str = "native", gateway: str = "edge", **more) -> int:
    given = {
        "environment": "production",
        "options": {},
        "settings": SETTINGS,
        "by": BY,
        "clock": lambda: NOW,
        "most_items": 2,
    }
    return imports.take_file(
        file=io.BytesIO(content), file_name=name, format=format, gateway_id=making.make_gateway(gateway).pk,
        **{**given, **more},
    )  # fmt: skip


def confirm(import_id: int, **more) -> None:
    imports.confirm(**{"import_id": import_id, "by": BY, "at": NOW, **more})


def work(at: datetime = NOW) -> None:
    work_at(at)


def found(import_id: int) -> selected.ImportRow:
    row = selected.one(import_id=import_id)
    assert row is not None
    return row


# --- reading ---


def test_a_file_is_read_into_parts_and_waits_for_a_person():
    making.make_priced_offering()

    import_id = take(lines(*(row(number) for number in range(3)), row(3, use_case="new one", model="gpt-9")))

    read = found(import_id)
    assert (read.state, read.events, read.rejected, read.items) == ("ready", 4, 0, 4)
    assert (read.first_at, read.last_at) == (NOON, NOON + timedelta(minutes=3))
    assert [(one.use_case, one.model, one.events, one.input_tokens, one.output_tokens) for one in read.groups] == [
        ("support-routing", "gpt-5.5@openai", 3, 3000, 300),
        ("new one", "gpt-9@openai", 1, 1000, 100),
    ]
    assert read.cost_usd == 3 * (1000 * Decimal(5) + 100 * Decimal(30)) / 10**6
    assert read.unpriced == 1
    assert read.unknown["model"] == {"gpt-9@openai": 1}
    assert read.unknown["use_case"] == {"support-routing": 3, "new one": 1}
    assert not LedgerEntry.objects.exists()
    assert not UseCase.objects.filter(name="new one").exists(), "a look at a file makes nothing"


def test_what_cannot_become_an_event_is_kept_with_its_place_and_reason():
    content = lines(row(0), row(1, input_tokens=-1), row(2)) + b'\n{"not": "an event"}\nnonsense\n' + lines(row(5))

    import_id = take(content)

    read = found(import_id)
    assert (read.events, read.rejected, read.items) == (3, 3, 6)
    assert [one.index for one in selected.rejections(import_id=import_id)] == [1, 3, 4]
    assert dict(read.reasons)["not JSON"] == 1
    assert sum(count for _, count in read.reasons) == 3


def test_reading_that_broke_off_goes_on_where_it_stopped():
    content = lines(*(row(number) for number in range(9)))
    told = []

    class Killed(Exception):
        pass

    def die(progress):
        told.append(progress.position)
        if len(told) == 2:
            raise Killed

    with pytest.raises(Killed):
        take(content, told=die)
    broken_off = UsageImport.objects.get()
    assert (broken_off.state, broken_off.events) == ("reading", 4)

    again = take(content, told=lambda progress: told.append(progress.position))

    assert again == broken_off.pk
    assert told == sorted(set(told)), "nothing was read twice"
    assert (found(again).state, found(again).events) == ("ready", 9)
    kept = [event.event_id for part in ImportPart.objects.order_by("number") for event in intake.unpack(part.events)]
    assert kept == [f"call-{number}" for number in range(9)]


def test_the_same_file_again_is_the_same_import_and_not_read_again():
    first = take(lines(row(0)))

    assert take(lines(row(0)), name="copy.jsonl") == first
    assert take(lines(row(0)), gateway="other") != first
    assert UsageImport.objects.count() == 2


def test_the_same_file_in_another_way_is_refused_until_the_first_is_dropped():
    first = take(lines(row(0)))

    with pytest.raises(imports.OtherWay, match="drop that one first"):
        take(lines(row(0)), environment="staging")

    imports.drop(import_id=first, by=BY, at=NOW)
    again = take(lines(row(0)), environment="staging")
    assert found(again).environment == "staging"


def test_a_compressed_file_is_read_as_what_it_holds():
    import_id = take(gzip.compress(lines(row(0), row(1))), name="calls.jsonl.gz")

    assert found(import_id).events == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b"hello\nthere", "neither a JSON object"),
        (b"[]", "holds no events"),
        (gzip.compress(lines(row(0)))[:-4], "cut off"),
        (b"[" + lines(row(0)), "cut off"),
    ],
)
def test_a_file_that_is_not_of_its_format_leaves_no_trace(content, sentence):
    with pytest.raises(imports.Unreadable, match=sentence):
        take(content)

    assert not UsageImport.objects.exists()


def test_a_file_that_is_broken_further_on_says_so_and_can_be_dropped():
    content = json.dumps([row(number) for number in range(6)]).encode()[:-40]

    with pytest.raises(imports.Unreadable, match="cut off"):
        take(content)

    import_id = UsageImport.objects.get().pk
    assert found(import_id).state == "failed"
    assert "cut off" in found(import_id).error
    with pytest.raises(imports.Settled):
        confirm(import_id)
    imports.drop(import_id=import_id, by=BY, at=NOW)
    assert found(import_id).state == "dropped"
    assert not ImportPart.objects.exists()


def test_a_format_an_environment_and_a_gateway_that_cannot_be_are_refused():
    with pytest.raises(Invalid):
        take(lines(row(0)), format="tarot")
    with pytest.raises(Invalid):
        take(lines(row(0)), environment="not a name")
    with pytest.raises(Invalid, match="takes no mapping"):
        take(lines(row(0)), options={"columns": {"time": "when"}})
    with pytest.raises(NotFound):
        imports.take_file(
            file=io.BytesIO(lines(row(0))), file_name="x", format="native", gateway_id=987, environment="production",
            options={}, settings=SETTINGS, by=BY, clock=lambda: NOW,
        )  # fmt: skip

    assert not UsageImport.objects.exists()


def test_what_is_over_the_limit_unpacked_is_kept_and_gone_on_with_elsewhere():
    content = lines(*(row(number) for number in range(6)))

    with pytest.raises(TooLarge, match="import_usage"):
        take(gzip.compress(content), most_bytes=len(content) // 2)
    assert UsageImport.objects.get().events == 2

    assert found(take(gzip.compress(content))).events == 6


def test_who_reads_a_file_that_another_process_reads_stops():
    content = lines(*(row(number) for number in range(6)))
    inner = []

    def read_beside(progress):
        if not inner:
            inner.append(take(content))

    with pytest.raises(imports.OtherReading):
        take(content, told=read_beside)

    assert (found(inner[0]).state, found(inner[0]).events, ImportPart.objects.count()) == ("ready", 6, 3)


def test_who_was_overtaken_by_another_reader_that_died_stops_and_repeats_nothing():
    content = lines(*(row(number) for number in range(8)))
    outer, inner = [], []

    class Died(Exception):
        pass

    def die(progress):
        inner.append(progress.events)
        raise Died

    def overtaken(progress):
        outer.append(progress.events)
        with pytest.raises(Died):
            take(content, told=die)

    with pytest.raises(imports.OtherReading):
        take(content, told=overtaken)

    assert (outer, inner) == ([2], [4])
    assert found(take(content)).events == 8
    assert ImportPart.objects.count() == 4


def test_who_reads_a_file_that_is_dropped_meanwhile_is_told():
    content = lines(*(row(number) for number in range(6)))

    with pytest.raises(imports.GivenUp):
        take(content, told=lambda progress: imports.drop(import_id=progress.import_id, by=BY, at=NOW))


def test_a_summary_stays_bounded_however_many_names_a_file_has(monkeypatch):
    monkeypatch.setattr(summing, "MOST_GROUPS", 3)
    monkeypatch.setattr(summing, "MOST_NAMES", 2)

    import_id = take(lines(*(row(number, use_case=f"case {number}") for number in range(9))))

    read = found(import_id)
    assert {one.use_case for one in read.groups} == {"case 0", "case 1", "case 2", "others"}
    assert sum(one.events for one in read.groups) == 9
    assert len(read.unknown["use_case"]) == 2


def test_prompts_addresses_and_secrets_of_a_file_are_nowhere():
    rows = [
        {
            "request_id": "chatcmpl-1", "call_type": "acompletion", "api_key": "hash", "spend": 0.01,
            "startTime": NOON.isoformat(), "endTime": (NOON + HOUR).isoformat(), "model": "gpt-5.5",
            "custom_llm_provider": "openai", "prompt_tokens": 10, "completion_tokens": 2,
            "messages": [{"role": "user", "content": "a-prompt-nobody-may-see"}],
            "response": {"choices": "an-answer-nobody-may-see"}, "proxy_server_request": {"x": "a-request-nobody"},
            "requester_ip_address": "203.0.113.77", "user": "ada@example.com", "end_user": "grace@example.com",
            "metadata": {"user_api_key": "sk-1234567890abcdefgh", "error_information": {"traceback": "a-traceback"}},
            "request_tags": ["mail:alan@example.com"], "status": "success",
        },
    ]  # fmt: skip

    confirm(take(json.dumps(rows).encode(), format="spend-logs", name="logs.json"))
    work()

    everything = everything_in_the_database()
    parts = repr([intake.unpack(bytes(one)) for one in ImportPart.objects.values_list("events", flat=True) if one])
    assert LedgerEntry.objects.count() == 1
    for secret in (
        "nobody-may-see", "a-request-nobody", "203.0.113.77", "ada@", "grace@", "alan@", "sk-123", "a-traceback",
    ):  # fmt: skip
        assert secret not in everything, secret
        assert secret not in parts, secret


def test_a_file_whose_lines_are_bodies_is_read_body_by_body_into_parts_of_the_usual_size():
    body = json.loads((PAYLOADS / "otel" / "ai_v7_traces.json").read_bytes())
    one = json.dumps(body).encode()
    alone = FILE_FORMATS["otlp"].reads({})(one, content_type="", received_at=NOON_OF_TRACES, settings=SETTINGS)

    import_id = take(b"\n".join([one, one, one]), format="otlp", clock=lambda: NOON_OF_TRACES, most_items=1000)
    confirm(import_id, at=NOON_OF_TRACES)
    work(NOON_OF_TRACES)

    read = found(import_id)
    assert alone.events
    assert (read.events, read.items) == (3 * len(alone.events), 3)
    assert ImportPart.objects.count() == 1, "small bodies share a part"
    assert read.booked <= len(alone.events), "a call that is told three times counts once"
    assert read.state == "done"


# --- confirming ---


def test_a_confirmed_import_is_booked_once_with_all_sums_right():
    making.make_priced_offering()
    make_budget(unit="usd", amount=Decimal(100))
    import_id = take(lines(*(row(number) for number in range(5)), row(0)))

    confirm(import_id, note="June of the old gateway")
    work()

    done = found(import_id)
    assert (done.state, done.handled, done.booked, done.duplicates) == ("done", 6, 5, 1)
    assert done.covers == (NOON, NOON + HOUR)
    assert_each_counts_once({f"call-{number}" for number in range(5)})
    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()
    source = Source.objects.get()
    assert (source.kind, source.note, source.audit) == ("import", "June of the old gateway", False)
    assert source.closed_at is not None
    assert Job.objects.get().state == "done"
    assert AuditEntry.objects.filter(table="usage_source", actor=BY).exists()
    assert ImportPart.objects.filter(events__isnull=False).count() == 0, "what is in a receipt is not kept twice"


def test_the_usual_range_is_widened_to_whole_hours():
    first, last = datetime(2026, 6, 1, 8, 59, 59, 5, UTC), datetime(2026, 6, 30, 23, 0, tzinfo=UTC)

    assert imports.usual_range(first_at=first, last_at=last) == (
        datetime(2026, 6, 1, 8, tzinfo=UTC),
        datetime(2026, 7, 1, tzinfo=UTC),
    )


def test_a_range_that_holds_counted_entries_is_refused_and_audit_leaves_spend_untouched():
    making.make_priced_offering()
    making.send(making.make_event(event_id="live", occurred_at=NOON + timedelta(minutes=30)))
    before = everything_of_the_sums()
    import_id = take(lines(row(0), row(1)))

    with pytest.raises(imports.RangeIsCounted):
        confirm(import_id)
    assert found(import_id).state == "ready"
    confirm(import_id, audit_only=True)
    work()

    done = found(import_id)
    assert (done.state, done.audit, done.shadowed, done.booked) == ("done", True, 2, 0)
    assert everything_of_the_sums() == before
    assert UnsummedEntry.objects.count() == 2


def everything_of_the_sums() -> list:
    with connection.cursor() as cursor:
        rows = []
        for table in ("ledger", "rollup_15min", "rollup_day"):
            cursor.execute(f"SELECT t::text FROM {table} t ORDER BY 1")
            rows += cursor.fetchall()
    return rows


def test_a_narrower_range_is_possible_and_what_lies_outside_is_kept_aside():
    making.make_priced_offering()
    making.send(making.make_event(event_id="live", occurred_at=NOON + 2 * HOUR))
    import_id = take(lines(row(0), row(1), row(121), row(122)))
    with pytest.raises(imports.RangeIsCounted):
        confirm(import_id)

    confirm(import_id, covers=(NOON, NOON + 2 * HOUR))
    work()

    assert (found(import_id).booked, found(import_id).shadowed) == (2, 2)
    assert_each_counts_once({"live", "call-0", "call-1"})
    assert_rollups_equal_ledger()


def test_live_events_inside_a_counted_range_are_kept_aside_from_then_on():
    confirm(take(lines(row(0))))

    inside = making.send(making.make_event(occurred_at=NOON + timedelta(minutes=59)), received_at=NOW)
    outside = making.send(making.make_event(occurred_at=NOON + HOUR), received_at=NOW)

    assert making.outcome(inside) == {"shadowed": 1}
    assert making.outcome(outside) == {"booked": 1}


def test_an_import_takes_no_part_in_how_complete_the_figures_are():
    making.send(making.make_event(occurred_at=NOW), received_at=NOW)
    before = freshness.complete_through(at=NOW)

    confirm(take(lines(row(0))), at=NOW + HOUR)
    jobs.run_next(clock=lambda: NOW + HOUR)

    assert Receipt.objects.filter(state="pending").exists()
    assert freshness.complete_through(at=NOW + HOUR) == before


def test_an_import_keeps_the_line_of_waiting_events_short(monkeypatch):
    monkeypatch.setattr(running, "MOST_WAITING", 4)
    confirm(take(lines(*(row(number) for number in range(11)))))

    seen = []
    for step in range(20):
        now = NOW + step * timedelta(seconds=1)
        while jobs.run_next(clock=lambda now=now: now):
            pass
        waiting = sum(Receipt.objects.filter(state="pending").values_list("event_count", flat=True))
        seen.append(waiting)
        if not waiting:
            break
        booking.book_pending(at=now)

    assert seen == [4, 4, 3, 0]
    assert Job.objects.get().attempts <= 1, "a rest is no failed try"
    assert found(UsageImport.objects.get().pk).state == "done"


def test_an_import_does_not_push_in_before_live_events_that_wait(monkeypatch):
    monkeypatch.setattr(running, "MOST_WAITING", 1)
    making.take(making.make_event(occurred_at=NOW), received_at=NOW)
    confirm(take(lines(row(0))))

    jobs.run_next(clock=lambda: NOW)

    assert Receipt.objects.count() == 1
    assert running.feeds()


def test_a_job_that_dies_between_two_parts_goes_on_and_repeats_none():
    confirm(take(lines(*(row(number) for number in range(7)))))
    job = Job.objects.get()
    assert not running.run(job, at=NOW)
    assert not running.run(job, at=NOW)  # and nothing ever renews its lease

    Job.objects.update(state="running", leased_until=NOW)
    work(NOW + jobs.LEASE)

    assert found(UsageImport.objects.get().pk).state == "done"
    assert Receipt.objects.count() == 4
    assert_each_counts_once({f"call-{number}" for number in range(7)})


@pytest.mark.django_db(transaction=True)
def test_two_who_run_the_same_job_at_once_take_each_part_once():
    confirm(take(lines(*(row(number) for number in range(12)))))
    job = Job.objects.get()

    def run(_):
        try:
            while not running.run(job, at=NOW):
                pass
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(run, range(4)))

    assert Receipt.objects.count() == 6


@pytest.mark.django_db(transaction=True)
def test_of_two_who_confirm_at_once_one_is_told_that_the_other_was_first():
    import_id = take(lines(row(0)))

    def run(person):
        try:
            confirm(import_id, by=person)
        except imports.Settled as error:
            return str(error)
        finally:
            connection.close()
        return person

    with ThreadPoolExecutor(2) as threads:
        said = sorted(threads.map(run, ("ada@example.com", "grace@example.com")), key=len)

    first = UsageImport.objects.get().confirmed_by
    assert said == [first, f"{first} confirmed this import already."]
    assert (Source.objects.count(), Job.objects.count()) == (1, 1)


def test_a_range_that_holds_no_event_or_reaches_far_beyond_is_refused():
    import_id = take(lines(row(0), row(1)))

    for covers in (
        (NOON + HOUR, NOON),
        (NOON + HOUR, NOON + 2 * HOUR),
        (NOON - HOUR, NOON),
        (NOON - timedelta(days=40), NOON + HOUR),
        (NOON, NOON + timedelta(days=40)),
    ):
        with pytest.raises(Invalid):
            confirm(import_id, covers=covers)

    assert not Source.objects.exists()


def test_a_file_without_a_single_event_cannot_be_confirmed():
    import_id = take(lines(row(0, input_tokens=-1)))

    with pytest.raises(Invalid, match="nothing to book"):
        confirm(import_id)


def test_a_dropped_import_is_gone_with_its_parts_and_a_confirmed_one_cannot_be_dropped():
    first = take(lines(row(0)))
    imports.drop(import_id=first, by=BY, at=NOW)
    imports.drop(import_id=first, by="again@example.com", at=NOW)
    assert (found(first).state, found(first).dropped_by) == ("dropped", BY)
    assert not ImportPart.objects.exists()
    with pytest.raises(imports.Settled, match="dropped"):
        confirm(first)

    second = take(lines(row(0)))
    assert second != first
    confirm(second)
    with pytest.raises(imports.Settled):
        imports.drop(import_id=second, by=BY, at=NOW)
    for verb in (imports.drop, imports.again, imports.confirm):
        with pytest.raises(NotFound):
            verb(import_id=987, by=BY, at=NOW)


def test_a_body_that_cannot_be_booked_is_shown_and_can_be_tried_again():
    import_id = take(lines(*(row(number) for number in range(3))))
    confirm(import_id)
    while not running.run(Job.objects.get(), at=NOW):
        pass
    broken = Receipt.objects.order_by("id").first()
    whole = bytes(broken.events)
    Receipt.objects.filter(pk=broken.pk).update(events=b"not what it should be")
    for attempt in range(booking.MOST_ATTEMPTS):
        booking.book_pending(at=NOW + attempt * HOUR)
    work(NOW + 6 * HOUR)

    failed = found(import_id)
    assert (failed.state, failed.bodies_failed, failed.booked) == ("failed", 1, 1)
    assert [one.receipt_id for one in selected.failed_bodies(import_id=import_id)] == [broken.pk]
    with pytest.raises(imports.Settled):
        imports.drop(import_id=import_id, by=BY, at=NOW)

    Receipt.objects.filter(pk=broken.pk).update(events=whole)
    assert imports.again(import_id=import_id, by=BY, at=NOW + 7 * HOUR) == 1
    work(NOW + 7 * HOUR)

    assert (found(import_id).state, found(import_id).booked) == ("done", 3)
    with pytest.raises(imports.NotFailed):
        imports.again(import_id=import_id, by=BY, at=NOW)


def test_an_import_whose_job_stopped_for_good_can_go_on():
    import_id = take(lines(*(row(number) for number in range(3))))
    confirm(import_id)
    Job.objects.update(state="failed", error="RuntimeError: the disk was full")
    assert (found(import_id).stopped, found(import_id).error) == (True, "RuntimeError: the disk was full")

    imports.again(import_id=import_id, by=BY, at=NOW)
    work()

    assert found(import_id).state == "done"


def test_lists_and_pages_take_one_query_whatever_they_hold(django_assert_num_queries):
    for gateway in ("edge", "other", "third"):
        confirm(take(lines(*(row(number) for number in range(5))), gateway=gateway))
    work()

    with django_assert_num_queries(1):
        rows = selected.listed(most=2)
    with django_assert_num_queries(1):
        one = found(rows[0].id)

    assert [row.gateway for row in rows] == ["third", "other"]
    assert rows[0].handled == one.handled == 5
    assert [row.gateway for row in selected.listed(most=5, before=rows[1].id)] == ["edge"]
    assert [row.gateway for row in selected.listed(most=5, gateway_id=rows[1].gateway_id)] == ["other"]


# --- what the database holds to ---


@pytest.mark.parametrize(
    ("constraint", "change"),
    [
        ("usage_import_state_known", {"state": "lost"}),
        ("usage_import_booked_under_a_source", {"state": ImportState.DONE}),
        ("usage_import_times_ordered", {"last_at": NOON - HOUR}),
    ],
)
def test_an_import_that_cannot_be_is_refused(constraint, change):
    import_id = take(lines(row(0)))

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        UsageImport.objects.filter(pk=import_id).update(**change)


def test_a_booked_import_cannot_become_dropped_and_a_file_and_a_part_are_there_once():
    import_id = take(lines(row(0)))
    confirm(import_id)
    made = UsageImport.objects.get()

    with pytest.raises(IntegrityError, match="usage_import_dropped_before_booking"), transaction.atomic():
        UsageImport.objects.update(state=ImportState.DROPPED)
    with pytest.raises(IntegrityError, match="usage_import_file_once"), transaction.atomic():
        UsageImport.objects.create(
            gateway=made.gateway, format="native", file_name="x", sha256=made.sha256, started_at=NOW, started_by=BY
        )
    with pytest.raises(IntegrityError, match="usage_importpart_once"), transaction.atomic():
        ImportPart.objects.create(usage_import=made, number=0, event_count=0)
