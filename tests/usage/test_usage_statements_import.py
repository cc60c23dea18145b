"""Taking in statements: once, newest per day, withdrawn with a reason, and never in any total."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from urllib.parse import urlencode

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import Error, IntegrityError, connection, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from budgets.models import Counter
from core.errors import Invalid, Malformed, NotFound, TooLarge
from core.models import AuditEntry
from tests.factories import make_budget, make_key
from tests.usage.making import NOON, make_event, make_gateway, make_priced_offering, send
from tests.usage.statements_made import ONE_DAY, bring, openai_costs, openai_usage
from tests.usage.test_usage_statements import PAYLOADS, payload
from usage.models import LedgerEntry, ProviderStatement, Rollup15Min, RollupDay, StatementFile
from usage.selectors import statements as selector
from usage.services import statements

pytestmark = pytest.mark.django_db


@pytest.fixture
def api_read():
    return {"Authorization": f"Bearer {make_key('read')}"}


@pytest.fixture
def api_write():
    return {"Authorization": f"Bearer {make_key('write')}"}


D1 = date(2026, 6, 1)
D2, D3, D4 = D1 + ONE_DAY, D1 + 2 * ONE_DAY, D1 + 3 * ONE_DAY


def tokens_by_day(first: date = D1, last: date = D4) -> dict[date, int]:
    """Return the input tokens that count for each day."""
    covered = selector.coverage(first=first, last=last)
    found: dict[date, int] = {}
    for one in selector.said(covered):
        found[one.day] = found.get(one.day, 0) + int(one.figures["input_tokens"])
    return found


# --- once ---


def test_a_file_is_kept_with_its_lines():
    done = bring(payload("anthropic_usage_report.json"), format="anthropic-usage", at=NOON, account="Acme")

    row = StatementFile.objects.get()
    (line,) = row.statements.all()
    assert (done.id, done.known, done.lines, row.account) == (row.pk, False, 1, "Acme")
    assert (row.first_day, row.last_day) == (date(2025, 11, 1), date(2025, 11, 2))
    assert row.imported_by == "finance@example.com"
    assert (line.provider, line.input_tokens, line.requests) == ("anthropic", 303_200, None)
    assert "not whole" in row.notes[0]


def test_the_same_file_again_is_known_and_changes_nothing():
    content = openai_usage({D1: [{}]})
    first = bring(content, at=NOON)

    again = bring(content, at=NOON + timedelta(hours=1), file_name="another name.json")

    assert (again.known, again.id) == (True, first.id)
    assert (StatementFile.objects.count(), ProviderStatement.objects.count()) == (1, 1)


def test_the_same_file_for_another_account_is_refused_since_it_would_count_twice():
    content = openai_usage({D1: [{}]})
    bring(content, at=NOON, account="one")

    with pytest.raises(statements.OtherAccount, match="one"):
        bring(content, at=NOON, account="other")

    assert tokens_by_day() == {D1: 1000}


def test_two_accounts_are_added():
    bring(openai_usage({D1: [{}]}), at=NOON, account="one")
    bring(openai_usage({D1: [{"input_tokens": 5}]}), at=NOON, account="other")

    assert tokens_by_day() == {D1: 1005}


@pytest.mark.parametrize(
    ("content", "given", "error"),
    [
        (b"nonsense", {}, Malformed),
        (openai_costs({D1: {"gpt-5.5, input": "1"}}), {}, Invalid),
        (openai_usage({D1: [{}]}), {"format": "fax"}, Invalid),
        (openai_usage({D1: [{}]}), {"account": "a" * 129}, Invalid),
        (openai_usage({D1: [{}]}), {"gateway": "nowhere"}, NotFound),
        (b" " * (statements.LARGEST_FILE_BYTES + 1), {}, TooLarge),
    ],
)
def test_what_cannot_be_used_leaves_nothing(content, given, error):
    with pytest.raises(error):
        bring(content, at=NOON, **given)

    assert (StatementFile.objects.count(), ProviderStatement.objects.count()) == (0, 0)


def test_a_file_that_breaks_half_way_leaves_nothing():
    good = openai_usage({D1: [{}], D2: [{"input_tokens": -1}]})

    with pytest.raises(Malformed):
        bring(good, at=NOON)

    assert not StatementFile.objects.exists()


def test_odd_characters_in_names_are_kept_out():
    done = bring(openai_usage({D1: [{}]}), at=NOON, account=" a\0  b ", file_name="c:\\up\\load\0\ud800.json")

    row = StatementFile.objects.get(pk=done.id)
    assert (row.account, row.file_name) == ("a b", "load  .json")


# --- the newest per day ---


def test_a_later_file_takes_the_place_of_the_days_that_it_holds_too():
    bring(openai_usage({D1: [{}], D2: [{}], D3: [{}]}), at=NOON)

    done = bring(openai_usage({D2: [{"input_tokens": 7}], D3: []}), at=NOON)

    assert done.replaced_days == 2
    assert tokens_by_day() == {D1: 1000, D2: 7}
    assert [row.counting_days for row in selector.files()] == [2, 1]
    assert ProviderStatement.objects.count() == 4, "nothing is deleted"


def test_an_export_of_costs_replaces_none_of_usage():
    bring(openai_usage({D1: [{}]}), at=NOON)
    bring(openai_costs({D1: {"gpt-5.5, input": "0.005"}}), format="openai-costs", at=NOON)

    (said,) = selector.said(selector.coverage(first=D1, last=D1))
    assert (said.figures["input_tokens"], said.figures["cost_usd"]) == (1000, Decimal("0.005"))


def test_a_day_that_a_file_holds_in_part_replaces_no_whole_one():
    at = NOON.replace(day=2)  # the second day is not over
    bring(openai_usage({D1: [{}], D2: [{}]}), at=NOON)

    done = bring(openai_usage({D1: [{"input_tokens": 8}], D2: [{"input_tokens": 1}]}), at=at)

    assert (done.partial_days, done.replaced_days) == ([D2], 1)
    assert tokens_by_day() == {D1: 8, D2: 1000}
    assert "not whole" in done.notes[-1]


def test_a_day_counts_as_soon_as_it_is_over():
    over = datetime.combine(D2, datetime.min.time(), tzinfo=NOON.tzinfo)

    before = bring(openai_usage({D1: [{}]}), at=over - timedelta(microseconds=1), account="before")
    after = bring(openai_usage({D1: [{"input_tokens": 2}]}), at=over, account="after")

    assert (before.partial_days, after.partial_days) == ([D1], [])


# --- withdrawing ---


def test_withdrawing_lets_the_file_before_count_again_and_says_who_when_and_why():
    bring(openai_usage({D1: [{}]}), at=NOON)
    later = bring(openai_usage({D1: [{"input_tokens": 7}]}), at=NOON)

    statements.withdraw(file_id=later.id, reason="wrong  organisation", by="finance@example.com", at=NOON + ONE_DAY)

    row = StatementFile.objects.get(pk=later.id)
    assert tokens_by_day() == {D1: 1000}
    assert (row.withdrawn_at, row.withdrawn_by, row.withdrawn_why) == (
        NOON + ONE_DAY, "finance@example.com", "wrong organisation",
    )  # fmt: skip
    assert row.statements.count() == 1
    entry = AuditEntry.objects.filter(table="usage_statementfile", operation="update").get()
    assert (entry.actor, entry.reason) == ("finance@example.com", "wrong organisation")


def test_a_file_is_withdrawn_once_and_never_without_a_reason():
    done = bring(openai_usage({D1: [{}]}), at=NOON)

    with pytest.raises(Invalid):
        statements.withdraw(file_id=done.id, reason="  ", by="x", at=NOON)
    statements.withdraw(file_id=done.id, reason="wrong", by="first", at=NOON)
    with pytest.raises(statements.AlreadyWithdrawn):
        statements.withdraw(file_id=done.id, reason="wrong", by="second", at=NOON)
    with pytest.raises(NotFound):
        statements.withdraw(file_id=done.id + 1, reason="wrong", by="second", at=NOON)

    assert StatementFile.objects.get().withdrawn_by == "first"


def test_a_file_that_was_withdrawn_may_come_again():
    content = openai_usage({D1: [{}]})
    first = bring(content, at=NOON, account="wrong one")
    statements.withdraw(file_id=first.id, reason="wrong account", by="x", at=NOON)

    again = bring(content, at=NOON, account="right one")

    assert (again.known, tokens_by_day()) == (False, {D1: 1000})


# --- never in a total ---


def test_no_total_and_no_budget_moves_with_a_statement():
    make_priced_offering()
    make_budget(unit="usd", amount=Decimal(10))
    send(make_event())
    sums = [totals(), list(Counter.objects.values_list("used", flat=True))]
    assert sums[0][0] == 1

    bring(openai_usage({NOON.date(): [{"input_tokens": 10**9}]}), at=NOON + 2 * ONE_DAY)
    bring(openai_costs({NOON.date(): {"gpt-5.5, input": "5000"}}), format="openai-costs", at=NOON + 2 * ONE_DAY)

    assert [totals(), list(Counter.objects.values_list("used", flat=True))] == sums


def totals():
    summed = ("requests", "uncached_input_tokens", "output_tokens", "cost_usd")
    return (
        LedgerEntry.objects.count(),
        *(list(table.objects.aggregate(*map(Sum, summed)).values()) for table in (Rollup15Min, RollupDay)),
    )


def test_spend_over_the_api_does_not_move(client, api_read):
    make_priced_offering()
    send(make_event())
    address = "/api/v1/spend?from=2026-06-01T00:00:00Z&to=2026-07-01T00:00:00Z&group_by=provider"
    before = client.get(address, headers=api_read).json()
    assert before["rows"][0]["requests"] == 1

    bring(openai_usage({NOON.date(): [{"input_tokens": 10**9}]}), at=NOON + 2 * ONE_DAY)

    assert client.get(address, headers=api_read).json() == before


# --- the database holds it ---


def row(**overrides) -> StatementFile:
    given = {
        "format": "openai-usage", "file_name": "f", "sha256": b"0" * 32, "first_day": D1, "last_day": D1, "lines": 0,
        "imported_at": NOON, "imported_by": "x",
    }  # fmt: skip
    return StatementFile.objects.create(**{**given, **overrides})


def test_a_file_that_ends_before_it_begins_is_refused():
    with pytest.raises(IntegrityError, match="usage_statementfile_days"):
        row(last_day=D1 - ONE_DAY)


def test_the_same_file_stands_once():
    row()

    with pytest.raises(IntegrityError, match="usage_statementfile_once"):
        row()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE provider_statement SET cost_usd = 0",
        "DELETE FROM provider_statement",
        "TRUNCATE provider_statement",
    ],
)
def test_lines_never_change(statement):
    if "TRUNCATE" not in statement:  # which checks waiting foreign keys before anything else
        bring(openai_usage({D1: [{}]}), at=NOON)

    with pytest.raises(Error, match="never change"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


# --- selectors ---


def test_files_cost_two_queries_however_many_there_are():
    for number in range(5):
        bring(openai_usage({D1: [{"input_tokens": number}]}), at=NOON)

    with CaptureQueriesContext(connection) as queries:
        rows = selector.files(most=3)

    assert (len(queries), [one.counting_days for one in rows]) == (2, [1, 0, 0])
    assert [one.id for one in selector.files(before=rows[-1].id)] == [rows[-1].id - 1, rows[-1].id - 2]


def test_the_latest_day_is_a_whole_one():
    assert selector.latest_day() is None
    bring(openai_usage({D1: [{}], D2: [{}]}), at=NOON.replace(day=2))

    assert selector.latest_day() == D1


# --- command line ---


def test_the_command_imports_says_what_it_did_and_then_that_it_is_known(tmp_path):
    path, said = PAYLOADS / "openai_usage_completions.json", StringIO()
    make_gateway("edge")

    call_command("import_statement", str(path), format="openai-usage", account="Acme", gateway="edge", stdout=said)
    call_command("import_statement", str(path), format="openai-usage", account="Acme", stdout=said)

    assert "2 lines of OpenAI usage (completions), 2025-11-01 to 2025-11-02." in said.getvalue()
    assert "Nothing changed" in said.getvalue()
    assert StatementFile.objects.get().gateway.name == "edge"
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_statement", str(tmp_path / "none"), format="openai-usage")
    with pytest.raises(CommandError, match="another export"):
        call_command("import_statement", str(path), format="openai-costs")


# --- API ---


def upload(content: bytes, **fields):
    return {"file": SimpleUploadedFile("export.json", content), "format": "openai-usage", **fields}


def test_the_api_imports_lists_and_withdraws(client, api_write):
    made = client.post("/api/v1/statements", upload(openai_usage({D1: [{}]}), account="Acme"), headers=api_write)
    again = client.post("/api/v1/statements", upload(openai_usage({D1: [{}]}), account="Acme"), headers=api_write)

    assert (made.status_code, made.json()["known"], again.status_code, again.json()["known"]) == (201, False, 200, True)
    (listed,) = client.get("/api/v1/statements", headers=api_write).json()["results"]
    assert (listed["provider"], listed["account"], listed["counting_days"]) == ("openai", "Acme", 1)
    one = f"/api/v1/statements/{listed['id']}"
    withdrawn = client.post(f"{one}/withdraw", {"reason": "wrong"}, content_type="application/json", headers=api_write)
    assert (withdrawn.status_code, withdrawn.json()["withdrawn_why"]) == (200, "wrong")
    assert client.get(one, headers=api_write).json()["counting_days"] == 0
    assert client.get(f"{one}9", headers=api_write).status_code == 404
    twice = client.post(f"{one}/withdraw", {"reason": "wrong"}, content_type="application/json", headers=api_write)
    assert twice.status_code == 409


def test_the_api_refuses_bad_files_with_a_reason(client, api_write):
    unread = client.post("/api/v1/statements", upload(b"nonsense"), headers=api_write)
    other = client.post("/api/v1/statements", upload(openai_costs({D1: {"a": "1"}})), headers=api_write)

    assert (unread.status_code, other.status_code) == (400, 422)
    assert "JSON" in unread.json()["detail"]
    assert "another export" in other.json()["detail"]


def test_whoever_may_only_read_imports_and_withdraws_nothing(client, api_read):
    done = bring(openai_usage({D1: [{}]}), at=NOON)

    sent = client.post("/api/v1/statements", upload(openai_usage({D2: [{}]})), headers=api_read)
    withdrawn = client.post(
        f"/api/v1/statements/{done.id}/withdraw", {"reason": "x"}, content_type="application/json", headers=api_read
    )

    assert (sent.status_code, withdrawn.status_code, StatementFile.objects.count()) == (403, 403, 1)
    assert client.get("/api/v1/statements").status_code == 401
    assert StatementFile.objects.get().withdrawn_at is None


_ODD = ["\0", "\ud800", "", "9" * 40, "-1", "NaN", "é" * 300, "0001-01-01", "9999-12-31", "{"]


def test_no_odd_value_makes_a_500(client, api_write):
    client.raise_request_exception = False
    answers = []
    for odd in _ODD:
        for name in ("from", "to", "provider", "model", "by", "tolerance", "unknown"):
            query = urlencode({"from": D1, "to": D2, name: odd}, errors="replace")
            answers.append(client.get(f"/api/v1/reconciliation?{query}", headers=api_write))
        for name in ("format", "account", "gateway", "unknown"):
            fields = {name: odd.encode(errors="replace").decode()}
            sent = upload(openai_usage({D1: [{}]}), **fields)
            answers.append(client.post("/api/v1/statements", sent, headers=api_write))
        after = urlencode({"after": odd}, errors="replace")
        answers.append(client.get(f"/api/v1/statements?{after}", headers=api_write))
        for reason in (json.dumps({"reason": odd}), odd.encode(errors="replace")):
            path = "/api/v1/statements/99999999999999999999/withdraw"
            answers.append(client.post(path, reason, content_type="application/json", headers=api_write))
    answers.append(client.get("/api/v1/statements/99999999999999999999", headers=api_write))
    answers.append(client.post("/api/v1/statements", b"<a/>", content_type="application/xml", headers=api_write))

    assert {answer.status_code for answer in answers} <= {200, 201, 400, 404, 409, 415, 422}


@pytest.mark.django_db(transaction=True)
def test_the_same_file_from_several_at_once_is_kept_once():
    content = openai_usage({D1: [{}]})

    def send_it(_: int) -> bool:
        try:
            return bring(content, at=NOON).known
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        known = sorted(pool.map(send_it, range(6)))

    assert known == [False, True, True, True, True, True]
    assert (StatementFile.objects.count(), ProviderStatement.objects.count()) == (1, 1)
