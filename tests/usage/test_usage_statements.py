"""Readers of providers' exports: units, days and names as ours, exactly, and bad files refused with a reason."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid, Malformed
from tests.drawing import drawn
from usage.statements import FORMATS, Line, contract

PAYLOADS = Path(__file__).parent.parent / "payloads" / "statements"
FIRST, SECOND = date(2025, 11, 1), date(2025, 11, 2)


def payload(name: str) -> bytes:
    return (PAYLOADS / name).read_bytes()


def read(format: str, content: bytes | str | object):
    if not isinstance(content, bytes | str):
        content = json.dumps(content)
    return FORMATS[format].read(content.encode() if isinstance(content, str) else content)


def openai_page(*results, starts: str = "2025-11-01T00:00", ends: str = "2025-11-02T00:00", **page):
    start, end = (int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) for text in (starts, ends))
    bucket = {"object": "bucket", "start_time": start, "end_time": end, "results": list(results)}
    return {"object": "page", "data": [bucket], "has_more": False, "next_page": None, **page}


def cost(value="1.5", currency="usd", item="gpt-5.5-2026-04-23, input"):
    amount = {"value": value, "currency": currency}
    return {"object": "organization.costs.result", "amount": amount, "line_item": item}


def completions(**overrides):
    return {
        "object": "organization.usage.completions.result", "input_tokens": 100, "output_tokens": 10,
        "num_model_requests": 2, "model": "gpt-5.5", **overrides,
    }  # fmt: skip


# --- OpenAI ---


def test_openai_usage_counts_cached_input_inside_input_and_keeps_batches_apart():
    found = read("openai-usage", payload("openai_usage_completions.json"))

    ordinary, batch = found.lines
    assert (ordinary.input_tokens, ordinary.cache_read_tokens, ordinary.cache_write_tokens) == (141201, 18432, 2048)
    assert (ordinary.output_tokens, ordinary.requests, ordinary.cost_usd) == (9756, 470, None)
    assert (ordinary.model, ordinary.provider, ordinary.day) == ("gpt-5.5-2026-04-23", "openai", FIRST)
    assert (ordinary.key, ordinary.project) == ("key_8AvSjPmTEoExample1", "proj_3Nv4v4W5ExampleSupport")
    assert (ordinary.service_tier, batch.service_tier, batch.requests) == ("", "batch", 30)
    assert batch.cache_write_tokens is None, "an export that does not tell is not one that says 0"


def test_a_day_without_results_is_covered_all_the_same():
    found = read("openai-usage", payload("openai_usage_completions.json"))

    assert (found.first_day, found.last_day, found.partial_days, found.notes) == (FIRST, SECOND, [], [])
    assert {line.day for line in found.lines} == {FIRST}


def test_buckets_of_an_hour_are_summed_into_the_day_which_is_partial_until_all_are_there():
    found = read("openai-usage", payload("openai_usage_pages_by_hour.json"))

    (line,) = found.lines
    assert (line.input_tokens, line.output_tokens, line.requests, line.cache_read_tokens) == (1500, 150, 5, 256)
    assert found.partial_days == [FIRST]


def test_twenty_four_hours_make_a_whole_day():
    ends = [*(f"2025-11-01T{hour:02}:00" for hour in range(1, 24)), "2025-11-02T00:00"]
    hours = [openai_page(completions(), starts=f"2025-11-01T{hour:02}:00", ends=end) for hour, end in enumerate(ends)]

    found = read("openai-usage", hours)

    (line,) = found.lines
    assert (line.input_tokens, found.partial_days) == (2400, [])


def test_an_export_that_goes_on_says_so():
    found = read("openai-usage", payload("openai_usage_pages_by_hour.json"))

    (note,) = found.notes
    assert "not whole" in note
    assert "has_more" in note


def test_pages_in_a_list_or_behind_each_other_are_one_export():
    one = openai_page(completions(), has_more=True, next_page="page_2")
    other = openai_page(completions(input_tokens=7), starts="2025-11-02T00:00", ends="2025-11-03T00:00")

    as_list = read("openai-usage", [one, other])
    behind = read("openai-usage", json.dumps(one) + "\n" + json.dumps(other))

    assert as_list == behind
    assert (as_list.notes, [line.input_tokens for line in as_list.lines]) == ([], [100, 7])


def test_a_page_that_stands_twice_in_a_file_is_refused():
    page = openai_page(completions())

    with pytest.raises(Malformed, match="twice"):
        read("openai-usage", [page, page])


def test_days_between_pages_that_no_page_holds_are_partial():
    pages = [
        openai_page(completions()),
        openai_page(completions(), starts="2025-11-04T00:00", ends="2025-11-05T00:00"),
    ]

    found = read("openai-usage", pages)

    assert found.partial_days == [date(2025, 11, 2), date(2025, 11, 3)]


def test_a_bucket_over_midnight_is_refused():
    with pytest.raises(Malformed, match="more than one UTC day"):
        read("openai-usage", openai_page(completions(), starts="2025-11-01T12:00", ends="2025-11-02T12:00"))


def test_embeddings_are_an_export_of_their_own():
    result = {
        "object": "organization.usage.embeddings.result", "input_tokens": 50, "num_model_requests": 5,
        "model": "text-embedding-3-small",
    }  # fmt: skip

    (line,) = read("openai-embeddings", openai_page(result)).lines
    with pytest.raises(Invalid, match="another export"):
        read("openai-usage", openai_page(result))

    assert (line.input_tokens, line.output_tokens, line.requests) == (50, 0, 5)


def test_openai_costs_are_exact_whether_number_or_string_and_name_the_model_of_their_item():
    found = read("openai-costs", payload("openai_costs.json"))

    assert sum(line.cost_usd for line in found.lines) == Decimal("0.955501")
    by_item = {line.item: (line.model, line.cost_usd) for line in found.lines}
    assert by_item["gpt-5.5-2026-04-23, input"] == ("gpt-5.5-2026-04-23", Decimal("0.603605"))
    assert by_item["gpt-5.5-2026-04-23, cached input"][0] == "gpt-5.5-2026-04-23"
    assert by_item["web search tool calls"] == ("", Decimal("0.05"))


@pytest.mark.parametrize(
    ("item", "model"),
    [
        ("gpt-4o-mini-2024-07-18, input", "gpt-4o-mini-2024-07-18"),
        ("ft:gpt-4o-2024-08-06:acme::1a2b, output", "ft:gpt-4o-2024-08-06:acme::1a2b"),
        ("o3, cached input", "o3"),
        ("text-embedding-3-small, input", "text-embedding-3-small"),
        ("assistants api | file search", ""),
        ("web search tool calls", ""),
        ("Code interpreter, 1 session", ""),
        ("", ""),
    ],
)
def test_a_line_item_names_a_model_or_none(item, model):
    (line,) = read("openai-costs", openai_page(cost(item=item))).lines

    assert (line.model, line.item) == (model, item)


@pytest.mark.parametrize("currency", ["eur", "", None, 840])
def test_what_is_not_in_usd_is_refused(currency):
    with pytest.raises(Invalid, match="USD"):
        read("openai-costs", openai_page(cost(currency=currency)))


def test_usage_given_as_costs_is_refused_and_says_what_it_is():
    with pytest.raises(Invalid, match="completions"):
        read("openai-costs", payload("openai_usage_completions.json"))


# --- Anthropic ---


def test_anthropic_input_is_the_sum_of_uncached_read_and_written():
    found = read("anthropic-usage", payload("anthropic_usage_report.json"))

    (line,) = found.lines  # windows of context are summed
    assert line.input_tokens == (1500 + 1000 + 500 + 200) + 300_000
    assert (line.cache_read_tokens, line.cache_write_tokens, line.output_tokens) == (200, 1500, 1200)
    assert (line.web_searches, line.requests, line.service_tier) == (10, None, "")
    assert (line.key, line.project) == ("apikey_01Rj2N8SVvo6BePZj99NhmiT", "wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ")
    assert "not whole" in found.notes[0]


def test_anthropic_amounts_are_cents():
    found = read("anthropic-costs", payload("anthropic_cost_report.json"))

    assert {line.item: line.cost_usd for line in found.lines} == {
        "Claude Sonnet 4.5 Usage - Input Tokens": Decimal("1.2345"), "Web Search Usage": Decimal("0.1"),
    }  # fmt: skip


def anthropic_costs(**overrides):
    result = {"currency": "USD", "amount": "1", "model": None, **overrides}
    bucket = {"starting_at": "2025-11-01T00:00:00Z", "ending_at": "2025-11-02T00:00:00Z", "results": [result]}
    return {"data": [bucket], "has_more": False, "next_page": None}


@pytest.mark.parametrize("amount", [123.45, 123, None, "", "a lot", "NaN", "1e400", "99999999999999"])
def test_an_amount_that_is_no_string_of_cents_is_refused(amount):
    with pytest.raises(Malformed):
        read("anthropic-costs", anthropic_costs(amount=amount))


def test_a_credit_is_negative():
    (line,) = read("anthropic-costs", anthropic_costs(amount="-250.5")).lines

    assert line.cost_usd == Decimal("-2.505")


def test_anthropic_reports_taken_for_each_other_are_told_apart():
    with pytest.raises(Invalid, match="usage report"):
        read("anthropic-costs", payload("anthropic_usage_report.json"))
    with pytest.raises(Invalid, match="cost report"):
        read("anthropic-usage", payload("anthropic_cost_report.json"))


# --- OpenRouter ---


def test_openrouter_reads_the_same_from_json_and_csv():
    as_json = read("openrouter", payload("openrouter_activity.json"))

    assert read("openrouter", payload("openrouter_activity.csv")) == as_json
    assert (as_json.first_day, as_json.last_day, as_json.partial_days) == (FIRST, date(2025, 11, 3), [])
    own_key, first, other = as_json.lines
    assert (first.model, first.item, first.requests) == ("openai/gpt-4.1", "OpenAI", 5)
    assert (first.input_tokens, first.cache_read_tokens, first.output_tokens, first.reasoning_tokens) == (
        50,
        20,
        125,
        25,
    )
    assert (own_key.item, own_key.cost_usd, own_key.input_tokens) == (
        "OpenAI, with a key of one's own", Decimal("0.012"), None,
    )  # fmt: skip
    assert other.cost_usd == Decimal("0.0000425"), "the float's noise goes at the 18th place"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "names no column"),
        (b"date,model\n2025-11-01,x\n", "names no column provider_name"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"data": {}}', "no answer"),
        (b'{"data": [3]}', "no object"),
        (b'{"data": [{"date": "yesterday"}]}', "no day"),
        (b'{"data": [{"date": "2025-11-01T05:00"}]}', "no day"),
        (b'{"data": [{"date": "0001-01-01T00:00:00+23:00"}]}', "no day"),
        (b'{"data": [{"date": "1066-10-14"}]}', "1066"),
        (b"[" * 100_000, "deep|JSON"),
        (b'{"data": [NaN]}', "JSON"),
    ],
)
def test_a_bad_file_is_refused_with_what_is_wrong(content, words):
    with pytest.raises(Malformed, match=words):
        read("openrouter", content)


def test_a_csv_line_of_another_length_is_refused():
    content = payload("openrouter_activity.csv").decode().splitlines()

    with pytest.raises(Malformed, match="Line 2"):
        read("openrouter", f"{content[0]}\n{content[1]},extra\n")


def test_a_file_without_a_day_is_refused():
    with pytest.raises(Invalid, match="no day"):
        read("openrouter", {"data": []})


@pytest.mark.parametrize("tokens", [-1, 1.5, "many", True, 10**16, None, [1]])
def test_a_count_that_is_none_is_refused(tokens):
    with pytest.raises(Malformed, match="input_tokens"):
        read("openai-usage", openai_page(completions(input_tokens=tokens)))


# --- all ---


def test_sums_that_no_column_holds_are_refused():
    huge = completions(input_tokens=10**15)

    with pytest.raises(Invalid, match="too large"):
        read("openai-usage", openai_page(*[huge] * 10_000))
    with pytest.raises(Invalid, match="too large"):
        read("openai-costs", openai_page(*[cost(value="900000000")] * 2_000))


def test_a_file_over_more_than_three_years_is_refused():
    with pytest.raises(Invalid, match="three years"):
        read("openai-usage", [openai_page(), openai_page(starts="2029-11-01T00:00", ends="2029-11-02T00:00")])


def test_a_file_of_too_many_lines_is_refused(monkeypatch):
    monkeypatch.setattr(contract, "MOST_LINES", 2)

    with pytest.raises(Invalid, match="more than 2 lines"):
        read("openai-usage", openai_page(*(completions(model=f"m{number}") for number in range(3))))


def test_no_address_of_a_person_and_no_odd_character_is_kept():
    (line,) = read(
        "openai-usage", openai_page(completions(project_id="mei.tanaka@nordlicht.example", api_key_id="a\u0000\ud800b"))
    ).lines

    assert (line.project, line.key) == ("an e-mail address", "a  b")


def test_names_are_cut_to_their_columns():
    (line,) = read("openai-usage", openai_page(completions(model="m" * 5000, api_key_id="k" * 5000))).lines

    assert (len(line.model), len(line.key)) == (193, 128)


def test_lines_that_say_the_same_are_summed_and_what_neither_tells_stays_untold():
    one = Line(day=FIRST, provider="openai", input_tokens=1, cache_read_tokens=None)

    found = contract.statement([one, one], whole_days=[FIRST])

    assert found.lines == [Line(day=FIRST, provider="openai", input_tokens=2, cache_read_tokens=None)]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_says_whose_it_is_and_what_it_tells(format):
    one = FORMATS[format]

    assert one.usage or one.costs
    assert one.provider in one.title.lower()
    assert "https://" in one.endpoint


_WORDS = [
    "data", "results", "start_time", "end_time", "starting_at", "ending_at", "amount", "currency", "date", "object",
]  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4),
    max_leaves=12,
)
_FILES = st.binary(max_size=60) | _JSON.map(lambda one: json.dumps(one).encode())


@drawn()
@given(format=st.sampled_from(sorted(FORMATS)), content=_FILES)
def test_a_file_is_read_or_refused_and_breaks_no_reader(format, content):
    with contextlib.suppress(Malformed, Invalid):
        found = FORMATS[format].read(content)

        assert found.first_day <= found.last_day
