"""Hostile input at every door of the price book: refused in words, nothing half written, and never a 500."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from catalog.models import Offering, PriceProposal, Team, UseCase
from core.models import AuditEntry, Organisation
from tests.dashboards.seeing import signed_in
from tests.factories import make_key
from tests.usage.making import make_event, make_priced_offering, send

pytestmark = pytest.mark.django_db
JUNE = "2026-06-01T00:00:00Z"

NUMBERS = (
    "1e400", "1e999999999999", "NaN", "∞", "-1", "1_000", "\N{FULLWIDTH DIGIT ONE}", "0." + "1" * 30, "\0", "\ud800",
    0.1, 1e308, [], 10**400, True,
)  # fmt: skip
INSTANTS = (
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-06-15T12:00:00", "\0",
    "2026-02-30T00:00:00Z", 10**20, {},
)  # fmt: skip
TEXTS = ("a\0b", "\ud800", "x" * 100_000, [], {"a\0": "b"})
IDS = (0, -1, 2**63, 2**70, "1; DROP", None, [], True)
COUNTS = (2**31, 2**63, 2**70, -5, 0, "1e9", 1.5)
FIELDS: dict[str, tuple[Any, ...]] = {
    "usd_per_1m": NUMBERS, "discount_percent": NUMBERS, "valid_from": INSTANTS, "valid_until": INSTANTS,
    "since": INSTANTS, "tier_since": INSTANTS, "until": INSTANTS, "at": INSTANTS, "context_over": COUNTS, "id": IDS,
    "ids": (*IDS, [0], [2**63], [None], list(range(1, 300)), [1, 1]), "weekdays": ([7], [-1], [2**70], [], "x", [True]),
    "starts": ("25:00", "\0", 10**30, "22:00:00.5", None),
}  # fmt: skip


def with_key(*scopes: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {make_key(*scopes)}"}


def bodies(body: dict[str, Any], *more: str) -> Iterator[Any]:
    """Spoil one field at a time, and the body itself."""
    for name in (*body, *more):
        yield from ({**body, name: value} for value in FIELDS.get(name, TEXTS))
    yield from ([], "x", None, [body], {**body, "\0": 1}, {**body, "\ud800": 1})


def doors(offering: Offering) -> Iterable[tuple[str, Iterable[Any]]]:
    price = {
        "offering": "gpt-5.5@openai", "meter": "output", "usd_per_1m": "40", "valid_from": JUNE, "source": "invoice",
    }  # fmt: skip
    contract = {"name": "frame", "provider": "openai", "discount_percent": "10", "valid_from": JUNE}
    own = {"offering": "gpt-5.5@openai", "meter": "output", "usd_per_1m": "40"}
    hours = {"name": "night", "zone": "UTC", "weekdays": [0], "starts": "22:00", "ends": "06:00"}
    use_case, team = UseCase.objects.get(name="support-routing").pk, Team.objects.get(name="suport").pk
    nobody = {"into": "nobody", "since": JUNE, "reason": ""}
    yield "prices", bodies(price, "valid_until", "context_over", "service_tier", "hour_window", "source_url", "note")
    yield "contracts", bodies(contract, "valid_until", "gateway", "offering", "own_prices")
    yield "contracts", ({**contract, "own_prices": [one]} for one in bodies(own, "valid_from", "context_over"))
    yield "hour-windows", bodies(hours)
    yield "price-proposals/accept", bodies({"ids": [1]}, "reason")
    yield "price-proposals/reject", bodies({"ids": [1]}, "reason")
    yield "price-imports", bodies({"from": "csv"}, "file", "accept_shrunk")
    yield f"models/{offering.pk}/merge", bodies(nobody)
    yield f"models/{offering.pk}/aliases", bodies({"name": "\0"}, "since", "until")
    yield f"use-cases/{use_case}/merge", bodies(nobody)
    yield f"teams/{team}/merge", bodies(nobody)
    for kind in ("models", "use-cases", "teams"):
        yield from ((f"{kind}/{pk}/merge", [{"into": "x"}]) for pk in (0, 2**63, 2**70))
    yield f"contracts/{2**70}/end", [{}]
    for month in ("0000-00", "9999-12", "2026-13", "2026-6", "٢٠٢٦-06", "2200-12", "x" * 5000):
        yield f"months/{month}/close", [{"reason": "done"}]
    yield "months/2026-06/close", ({"reason": value} for value in TEXTS)
    changes = {
        "price": price, "contract": contract, "proposals": {"ids": [1]}, "tier": {"id": offering.pk, "tier": "middle"},
        "alias": {"id": offering.pk, "name": "gpt"}, "merge_team": {"id": team, **nobody},
    }  # fmt: skip
    for change, body in changes.items():
        yield "corrections/preview", bodies({"change": change, **body})


def test_no_body_breaks_a_door_or_leaves_anything_behind_where_it_is_refused():
    client, headers = Client(raise_request_exception=False), with_key("admin")
    offering = make_priced_offering()
    send(make_event(team="suport"))
    written, wrong = AuditEntry.objects.count(), []

    for path, spoilt in doors(offering):
        for body in spoilt:
            answer = client.post(f"/api/v1/{path}", json.dumps(body), content_type="application/json", headers=headers)
            before, written = written, AuditEntry.objects.count()
            refused = answer.status_code in (400, 404, 409, 413, 422) and bool(answer.json()["detail"])
            taken = answer.status_code in (200, 201) and path != "corrections/preview"
            if not (taken or ((refused or answer.status_code == 200) and written == before)):
                wrong.append((answer.status_code, path, repr(body)[:200], written - before))

    assert wrong == []


@pytest.mark.parametrize(
    ("kind", "spoilt"),
    [
        ("models", {"tier": "economy", "gateway_names": {"litellm\0": "x"}}),
        ("use-cases", {"team": "suport", "title": "x" * 201}),
        ("teams", {"name": "support", "state": "waiting"}),
    ],
)
def test_a_change_of_several_fields_is_made_in_full_or_not_at_all(kind, spoilt):
    client, headers = Client(raise_request_exception=False), with_key("admin")
    ids = {"models": make_priced_offering().pk}
    send(make_event(team="suport"))
    ids |= {"use-cases": UseCase.objects.get(name="support-routing").pk, "teams": Team.objects.get(name="suport").pk}
    written = AuditEntry.objects.count()

    answer = client.patch(
        f"/api/v1/{kind}/{ids[kind]}", json.dumps(spoilt), content_type="application/json", headers=headers
    )

    assert (answer.status_code, AuditEntry.objects.count()) == (422, written)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("corrections", ("0001-01-01T00:00:00+23:59", "a", 1)),
        ("corrections", ("9999-12-31T23:59:59-23:59", "a", 1)),
        ("corrections", ("2026-01-01T00:00:00Z", "\0", 2**63)),
        ("months", (10**30, 1)),
        ("months", (0, 0)),
        ("prices", (2**63,)),
        ("contracts", (2**63 - 1,)),
        ("price-imports", (10**30,)),
        ("price-proposals", ("\0", 2**63)),
    ],
)
def test_a_page_that_was_never_given_out_is_refused_or_empty(path, place):
    client, headers = Client(raise_request_exception=False), with_key("read")
    make_priced_offering()
    after = urlsafe_b64encode(msgspec.json.encode(list(place))).decode().rstrip("=")

    answer = client.get(f"/api/v1/{path}", {"after": after}, headers=headers)

    assert answer.status_code in (200, 400, 404, 422)


COLUMNS = "offering,meter,usd_per_1m,valid_from,valid_until,note\n"
ENTRY = '{"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": %s}'
TABLES = {
    "the first year": ("csv", f"{COLUMNS}gpt-9@openai,output,31,0001-01-01,,\n"),
    "the last year": ("csv", f"{COLUMNS}gpt-9@openai,output,31,2026-01-01,9999-12-31,\n"),
    "an instant before all": ("csv", f"{COLUMNS}gpt-9@openai,output,31,0001-01-01T00:00+23:59,,\n"),
    "a quote that never ends": ("csv", f'{COLUMNS}gpt-5.5@openai,output,31,,,"{"y" * 200_000}'),
    "full-width digits": ("csv", f"{COLUMNS}gpt-5.5@openai,output,\N{FULLWIDTH DIGIT THREE},,,\n"),
    "an underscore": ("csv", f"{COLUMNS}gpt-5.5@openai,output,3_1,,,\n"),
    "not a number": ("csv", f"{COLUMNS}gpt-5.5@openai,output,NaN,,,\n"),
    "a negative zero": ("csv", f"{COLUMNS}gpt-5.5@openai,output,-0,,,\n"),
    "a zero byte": ("csv", f"{COLUMNS}gpt-5.5@openai,output,31,,,\0\n"),
    "another encoding": ("csv", f"{COLUMNS}gpt-5.5@openai,output,31,,,\n".encode("utf-16")),
    "columns without end": ("csv", ",".join(["x"] * 100_000) + "\n"),
    "rows without end": ("csv", COLUMNS + "gpt-5.5@openai,output,31,,,\n" * 50_001),
    "nothing but lines": ("csv", "\n" * 10_000),
    "a list": ("litellm", "[]"),
    "a list for a model": ("litellm", '{"\\ud800": [1, 2]}'),
    "half a table": ("litellm", '{"gpt-5.5": ' + ENTRY % "1e-6" + ', "gp'),
    "brackets without end": ("litellm", "[" * 100_000),
    "the largest float": ("litellm", '{"gpt-5.5": ' + ENTRY % "1e308" + "}"),
    "a longer number": ("litellm", '{"gpt-5.5": ' + ENTRY % "1e999999999" + "}"),
    "digits without end": ("litellm", '{"gpt-5.5": ' + ENTRY % ("9" * 5000) + "}"),
    "no number": ("litellm", '{"gpt-5.5": ' + ENTRY % "NaN" + "}"),
    "a negative price": ("litellm", '{"gpt-5.5": ' + ENTRY % "-1e-6" + "}"),
    "a model twice": ("litellm", '{"gpt-5.5": ' + ENTRY % "1e-6" + ', "gpt-5.5": ' + ENTRY % "2e-6" + "}"),
    "a NUL in a name": ("litellm", '{"gpt-5.5": ' + ENTRY % "6e-6" + ', "gpt\\u0000": ' + ENTRY % "6e-6" + "}"),
    "a NUL in a field": ("litellm", '{"gpt-5.5": {"source\\u0000": "x\\u0000", ' + (ENTRY % "6e-6")[1:] + "}"),
    "half a character": ("litellm", '{"gpt-5.5": {"source": "http://\\ud800", ' + (ENTRY % "6e-6")[1:] + "}"),
}


@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_cannot_be_right_is_refused_whole_by_both_doors(client, table):
    source, content = TABLES[table]
    data = content if isinstance(content, bytes) else content.encode()
    Organisation.objects.update(zone="Pacific/Kiritimati")
    make_priced_offering()
    headers = with_key("admin")
    told = client.post(
        "/api/v1/price-imports", {"from": source, "file": SimpleUploadedFile("t", data)}, headers=headers
    )
    signed_in(client, "admin")
    written = AuditEntry.objects.count()

    shown = client.post("/prices/import/upload/", {"source": source, "file": SimpleUploadedFile("t", data)})

    assert (told.status_code, shown.status_code) == (400, 422)
    assert told.json()["detail"].startswith("The table cannot be read, and nothing of it was used: ")
    assert (PriceProposal.objects.count(), AuditEntry.objects.count()) == (0, written)
