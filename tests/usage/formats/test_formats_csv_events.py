"""Tables of calls: what columns hold, and what people's programs write into them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from usage.events import UnreadableBody
from usage.formats import FormatSettings, csv_events

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SETTINGS = FormatSettings(user_key=b"test", max_events=50)
HEAD = "time,model,id,input,output,cost,latency,status,use case"
COLUMNS = {
    "time": "time", "model": "model", "id": "id", "input_tokens": "input", "output_tokens": "output",
    "reported_cost_usd": "cost", "latency_ms": "latency", "status": "status", "use_case": "use case",
}  # fmt: skip
LINE = "2026-11-20T12:00:00Z,gpt-5.5,e-1,1200,85,0.0085,910,ok,support"


def parse(text, *, columns=COLUMNS, zone="UTC"):
    body = text if isinstance(text, bytes) else text.encode()
    read = csv_events.reader({"columns": columns, "zone": zone})
    return read(body, content_type="", received_at=NOW, settings=SETTINGS)


def event(line=LINE, **given):
    parsed = parse(f"{HEAD}\n{line}\n", **given)
    assert parsed.rejected == []
    return parsed.events[0]


def refusal(line, **given):
    parsed = parse(f"{HEAD}\n{LINE}\n{line}\n", **given)
    assert len(parsed.events) == 1
    assert parsed.rejected[0].index == 1
    return parsed.rejected[0].error


def test_a_row_becomes_an_event():
    made = event()

    assert (made.event_id, made.occurred_at) == ("e-1", datetime(2026, 11, 20, 12, tzinfo=UTC))
    assert (made.model, made.use_case, made.status, made.latency_ms) == ("gpt-5.5", "support", "ok", 910)
    assert (made.uncached_input_tokens, made.output_tokens, made.reported_cost_usd) == (1200, 85, Decimal("0.0085"))


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{HEAD}\r\n{LINE}\r\n",
        f"\n\n{HEAD}\n\n{LINE}\n,,,,,,,,\n\n",
        f"{HEAD}\n{LINE}".replace(",", ";"),
        f"{HEAD}\n{LINE}".replace(",", "\t"),
        f"{HEAD}\n{LINE}".replace(",", "|"),
        f'"{HEAD}"\n"{LINE}"'.replace(",", '","'),
    ],
)
def test_marks_blank_lines_and_other_separators_are_understood(text):
    assert [one.event_id for one in parse(text).events] == ["e-1"]
    assert parse(text).rejected == []


def test_a_field_may_hold_the_separator_and_the_end_of_a_line():
    made = event(LINE.replace("support", '"support, second\nline"'))

    assert made.use_case == "support, second line"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-20 12:00:00", datetime(2026, 11, 20, 11, tzinfo=UTC)),
        ("2026-11-20T12:00:00+05:00", datetime(2026, 11, 20, 7, tzinfo=UTC)),
        ("2026-11-20 12:00:00.250+00", datetime(2026, 11, 20, 12, 0, 0, 250_000, UTC)),
        ("2026-11-20 12:00:00 UTC", datetime(2026, 11, 20, 12, tzinfo=UTC)),
        ("1763640000", datetime(2025, 11, 20, 12, tzinfo=UTC)),
        ("1763640000.5", datetime(2025, 11, 20, 12, 0, 0, 500_000, UTC)),
        ("1763640000123", datetime(2025, 11, 20, 12, 0, 0, 123_000, UTC)),
        ("1763640000123456", datetime(2025, 11, 20, 12, 0, 0, 123_456, UTC)),
        ("1763640000123456789", datetime(2025, 11, 20, 12, 0, 0, 123_456, UTC)),
    ],
)
def test_times_are_read_on_the_clock_they_were_written_on(text, at):
    assert event(LINE.replace("2026-11-20T12:00:00Z", text), zone="Europe/Berlin").occurred_at == at


def test_a_moment_that_the_clock_shows_twice_is_the_first_and_says_so():
    made = event(LINE.replace("2026-11-20T12:00:00Z", "2026-10-25 02:30:00"), zone="Europe/Berlin")

    assert made.occurred_at == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert made.flags == ["local-time-twice"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("2026-11-20T12:00:00Z", "2026-03-29 02:30:00", "time: the clocks of Europe/Berlin skip that moment"),
        ("2026-11-20T12:00:00Z", "2026-11-20", "time: a day without a time of day"),
        ("2026-11-20T12:00:00Z", "11/20/2026 12:00", "time: not a time"),
        ("2026-11-20T12:00:00Z", "0001-01-01 00:00:00", "time: not in the years 2000"),
        ("2026-11-20T12:00:00Z", "2026-11-25T12:00:00Z", "time: more than a day ahead"),
        ("2026-11-20T12:00:00Z", "", "time: required and missing"),
        ("gpt-5.5", "NULL", "model: required and missing"),
        ("1200", '"1,200"', "input_tokens: not a whole number such as 1200, without separators"),
        ("1200", "1.5", "input_tokens: not a whole number"),
        ("1200", "-3", "input_tokens: not a whole number"),
        ("0.0085", '"0,0085"', "reported_cost_usd: not a number such as 0.0125; with a comma it could mean two"),
        ("0.0085", "free", "reported_cost_usd: not a number such as 0.0125"),
        ("0.0085", "-1", "reported_cost_usd: negative"),
        (",ok,", ",perhaps,", "status: none of ok, error"),
        ("support", "support,more", "the row has more fields than the head has columns"),
    ],
)
def test_what_could_mean_two_things_or_nothing_is_refused_with_the_field(old, new, reason):
    assert refusal(LINE.replace(old, new), zone="Europe/Berlin").startswith(reason)


@pytest.mark.parametrize(
    ("text", "status"),
    [("success", "ok"), ("200", "ok"), ("429", "error"), ("FAILED", "error"), ("cached", "cache_hit"), ("", "ok")],
)
def test_the_words_of_others_for_a_status_are_understood(text, status):
    assert event(LINE.replace(",ok,", f",{text},")).status == status


def test_nothing_in_a_column_is_nothing_and_no_zero():
    made = event("2026-11-20T12:00:00Z,gpt-5.5,e-1,null,NaN,-,,,")

    assert (made.status, made.counted, made.reported_cost_usd, made.latency_ms) == ("usage_missing", False, None, None)


def test_other_units_are_converted_exactly():
    columns = {**COLUMNS, "reported_cost_cents": "cost", "latency_s": "latency"}
    del columns["reported_cost_usd"], columns["latency_ms"]

    made = event(LINE.replace("0.0085", "0.85").replace("910", "0.91"), columns=columns)

    assert (made.reported_cost_usd, made.latency_ms) == (Decimal("0.0085"), 910)
    assert event(LINE.replace("0.0085", "$0.50")).reported_cost_usd == Decimal("0.5")
    assert event(LINE.replace("1200", "1200.0")).uncached_input_tokens == 1200


def test_input_beside_cached_input_is_added_up():
    columns = {"time": "time", "model": "model", "uncached_input_tokens": "input", "cache_read_input_tokens": "output"}

    made = event(columns=columns)

    assert (made.uncached_input_tokens, made.cache_read_tokens) == (1200, 85)


def test_rows_without_an_id_are_told_apart_by_all_they_say():
    columns = {name: column for name, column in COLUMNS.items() if name != "id"}
    other = LINE.replace("e-1", "e-2")  # in a column that no field takes

    made = parse(f"{HEAD}\n{LINE}\n{LINE}\n{other}\n", columns=columns).events

    assert made[0].event_id == made[1].event_id != made[2].event_id


def test_columns_may_be_kept_as_tags_and_addresses_become_pseudonyms():
    columns = {"time": "time", "model": "model", "tag:where": "use case", "user": "id"}

    made = event(LINE.replace("e-1", "ada@example.com"), columns=columns)

    assert made.tags == {"where": "support"}
    assert made.user.startswith("h:")


@pytest.mark.parametrize("body", [b"", b"time,model\n", b"\xff\xfe,x\n1,2\n", b"time,model\n\n\n"])
def test_what_is_no_table_is_unreadable(body):
    with pytest.raises(UnreadableBody):
        parse(body)


def test_more_rows_than_a_body_may_have_are_refused():
    with pytest.raises(UnreadableBody, match="more than 50"):
        parse("\n".join([HEAD, *[LINE] * 51]))


def test_columns_are_guessed_by_their_names():
    head = "Timestamp;Model Name;Request-ID;Prompt Tokens;completion_tokens;cached_tokens;Cost (USD);Duration ms;App"

    assert csv_events.guess(head) == {
        "time": "Timestamp", "model": "Model Name", "id": "Request-ID", "input_tokens": "Prompt Tokens",
        "output_tokens": "completion_tokens", "cache_read_input_tokens": "cached_tokens",
        "reported_cost_usd": "Cost (USD)", "latency_ms": "Duration ms", "use_case": "App",
    }  # fmt: skip
    assert csv_events.guess("a,b,c") == {}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"columns": {"time": "time"}}, "model"),
        ({"columns": {"time": "time", "model": "nowhere"}}, "model"),
        ({"columns": {**COLUMNS, "colour": "id"}}, "colour"),
        ({"columns": {**COLUMNS, "latency_s": "latency"}}, "latency_s"),
        ({"columns": {**COLUMNS, "uncached_input_tokens": "input"}}, "uncached_input_tokens"),
        ({"columns": COLUMNS, "zone": "Mars/Olympus"}, "zone"),
        ({"columns": COLUMNS, "zone": "../etc/passwd"}, "zone"),
        ({"columns": COLUMNS, "zone": "Europe"}, "zone"),
        ({"columns": {**COLUMNS, "tag:": "id"}}, "tag:"),
        ({}, "time"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_with_its_field(options, field):
    assert field in dict(csv_events.check(options, HEAD))


def test_a_column_that_is_there_twice_cannot_be_chosen():
    head = "time,model,cost,cost"
    columns = {"time": "time", "model": "model", "reported_cost_usd": "cost"}

    assert dict(csv_events.check({"columns": columns}, head)) == {
        "reported_cost_usd": "The file has more than one column 'cost'."
    }
    assert csv_events.check({"columns": COLUMNS, "zone": "Asia/Kolkata"}, HEAD) == []
