"""What people could type, post or try without leave at the pages of the price book."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from catalog.models import Contract, Price, PriceProposal, Team, UseCase
from catalog.services import contracts, imports
from core import access
from core.models import AuditEntry
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.drawing import some
from tests.factories import make_key
from tests.usage.making import LONG_AGO, NOON, make_event, make_priced_offering, send
from usage.models import Month

pytestmark = pytest.mark.django_db
TABLE = b"offering,meter,usd_per_1m\ngpt-5.5@openai,output,31\n"


@pytest.fixture
def house() -> dict[str, int]:
    """Have one of everything that a page of the price book may be about, with its id."""
    offering = make_priced_offering()
    send(make_event(team="suport"), make_event(use_case="other"))
    contract = contracts.set_terms(
        name="frame", provider=offering.provider, discount_percent=Decimal(1), valid_from=LONG_AGO, by="tests",
        approved_by="tests", at=NOON,
    )  # fmt: skip
    done = imports.propose(table=imports.read(source="csv", content=TABLE), by="tests", at=NOON)
    return {
        "offering": offering.pk,
        "contract": contract.pk,
        "import": done.import_id,
        "proposal": PriceProposal.objects.get().pk,
        "use_case": UseCase.objects.get(name="support-routing").pk,
        "team": Team.objects.get(name="suport").pk,
    }


def forms(house: dict[str, int]) -> dict[str, tuple[str, dict[str, object]]]:
    """Return what may be posted, valid as it is, and the action that it needs."""
    of, since = "/catalog/gpt-5.5@openai/", {"since": "2026-06-01", "reason": "x"}
    return {
        "/prices/new/": ("prices.approve", {
            "offering": "gpt-5.5@openai", "valid_from": "2026-06-01", "valid_until": "", "context_over": "",
            "usd_output": "40", "source": "x", "note": "x", "region": "", "source_url": "",
        }),
        "/prices/contracts/new/": ("prices.approve", {
            "name": "new", "provider": "openai", "discount_percent": "5", "valid_from": "2026-06-01", "note": "x",
        }),
        f"/prices/contracts/{house['contract']}/change/": ("prices.approve", {
            "discount_percent": "5", "valid_from": "2026-06-01", "valid_until": "", "note": "x",
        }),
        f"/prices/contracts/{house['contract']}/end/": ("prices.approve", {"ends_at": "2026-06-01", "note": "x"}),
        "/prices/hours/": ("prices.approve", {
            "name": "night", "zone": "UTC", "weekdays": ["0"], "starts": "22:00", "ends": "06:00",
        }),
        f"/prices/import/{house['import']}/settle/": ("prices.approve", {
            "do": "accept", "ids": [str(house["proposal"])], "reason": "x",
        }),
        f"{of}tier/": ("catalog.edit", {"tier": "middle", **since}),
        f"{of}name/": ("catalog.edit", {"name": "openai/latest", "until": "", **since}),
        f"{of}assign/": ("catalog.edit", {"into": "gpt-9@openai", **since}),
        f"{of}facts/": ("catalog.edit", {"region": "eu", "gateway_names": "", "context_tokens": "", "reason": "x"}),
        f"{of}retire/": ("catalog.edit", {"reason": "x"}),
        f"/attention/use-cases/{house['use_case']}/assign/": ("catalog.edit", {"into": "other", **since}),
        f"/attention/teams/{house['team']}/assign/": ("catalog.edit", {"into": "unassigned", **since}),
        "/months/2026-06/close/": ("months.close", {"reason": "x"}),
    }  # fmt: skip


TYPED = ("9" * 400, "1e400", "9999-12-31", "a\0b", HOSTILE)


@pytest.mark.soak
def test_nothing_that_is_typed_into_a_form_breaks_it_or_is_written_before_it_was_confirmed(house):
    client = Client(raise_request_exception=False)
    signed_in(client, "admin")
    wrong = []
    for path, (_, form) in forms(house).items():
        if path == "/prices/hours/":
            continue  # hours change nothing of the past: they are made at once
        written = AuditEntry.objects.count()
        for turn, name in enumerate(form):
            for typed in some(TYPED, turn, 2):
                answer = client.post(path, {**form, name: typed})
                if answer.status_code not in (200, 404, 422) and not (name == "do" and answer.status_code == 302):
                    wrong.append((answer.status_code, path, name, typed[:40]))
                if HOSTILE.encode() in answer.content:
                    wrong.append((path, name, "not escaped"))
        if AuditEntry.objects.count() != written:
            wrong.append((path, "wrote"))
    assert wrong == []


@pytest.mark.parametrize("role", sorted(access.EVERY_ROLE))
def test_who_may_not_make_a_change_may_neither_look_at_its_effect_nor_confirm_it(client, house, role):
    person = signed_in(client, role)
    written = AuditEntry.objects.count()

    for path, (action, form) in forms(house).items():
        if access.may(person, action):
            continue
        if path != "/prices/hours/":  # where everybody may look at the list
            assert client.get(path).status_code in (403, 405), path
        assert client.post(path, form).status_code == 403, path
        assert client.post(path, {**form, "confirm": "0" * 32}).status_code == 403, path

    for path in ("/prices/import/read/", "/prices/import/upload/"):
        if not access.may(person, "prices.edit"):
            file = SimpleUploadedFile("t.csv", TABLE)
            assert client.post(path, {"source": "csv", "file": file}).status_code == 403
    assert AuditEntry.objects.count() == written


def test_a_digest_of_other_figures_confirms_nothing(client, house):
    signed_in(client, "finance")
    path = "/prices/new/"
    form = forms(house)[path][1]
    shown = client.post(path, form)
    prices = Price.objects.count()

    answer = client.post(path, {**form, "usd_output": "41", "confirm": shown.context["confirm"]})

    assert (answer.status_code, Price.objects.count()) == (200, prices)
    assert client.post(path, {**form, "confirm": shown.context["confirm"]}).status_code == 302
    assert Price.objects.count() > prices


def test_no_form_is_taken_from_another_site_and_no_address_changes_anything_by_being_looked_at(house):
    client = Client(enforce_csrf_checks=True)
    signed_in(client, "admin")
    written = AuditEntry.objects.count()

    for path, (_, form) in forms(house).items():
        assert client.post(path, form).status_code == 403, path
        assert client.get(path, {**form, "confirm": "0" * 32}).status_code in (200, 302, 404, 405), path

    assert AuditEntry.objects.count() == written
    assert not Month.objects.exists()


def calls(house: dict[str, int]) -> dict[str, tuple[str, dict[str, object]]]:
    """Return valid calls that change something, by path, with the action that each needs."""
    june = "2026-06-01T00:00:00Z"
    price = {"offering": "gpt-5.5@openai", "meter": "output", "usd_per_1m": "40", "valid_from": june, "source": "x"}
    hours = {"name": "night", "zone": "UTC", "weekdays": [0], "starts": "22:00", "ends": "06:00"}
    return {
        "prices": ("prices.approve", price),
        "contracts": ("prices.approve", {"name": "n", "provider": "openai", "valid_from": june}),
        f"contracts/{house['contract']}/end": ("prices.approve", {}),
        "hour-windows": ("prices.approve", hours),
        "price-imports": ("prices.edit", {"from": "genai-prices"}),
        "price-proposals/accept": ("prices.approve", {"ids": [house["proposal"]]}),
        "price-proposals/reject": ("prices.approve", {"ids": [house["proposal"]]}),
        f"models/{house['offering']}/merge": ("catalog.edit", {"into": "x"}),
        f"models/{house['offering']}/aliases": ("catalog.edit", {"name": "x"}),
        f"use-cases/{house['use_case']}/merge": ("catalog.edit", {"into": "other"}),
        f"teams/{house['team']}/merge": ("catalog.edit", {"into": "unassigned"}),
        "months/2026-06/close": ("months.close", {"reason": "x"}),
    }


def posted(client: Client, path: str, body: object, headers: dict[str, str] | None = None) -> int:
    sent = client.post(f"/api/v1/{path}", json.dumps(body), content_type="application/json", headers=headers or {})
    return sent.status_code


@pytest.mark.parametrize("scope", ["usage:write", "rules:read", "read", "write"])
def test_a_key_without_the_scope_changes_nothing(client, house, scope):
    headers = {"Authorization": f"Bearer {make_key(scope)}"}
    written = AuditEntry.objects.count()

    for path, (action, body) in calls(house).items():
        if scope not in access.ACTIONS[action].scopes:
            assert posted(client, path, body, headers) == 403, path

    assert AuditEntry.objects.count() == written


@pytest.mark.parametrize("role", sorted(access.EVERY_ROLE))
def test_a_person_without_the_role_changes_nothing_over_rest_and_previews_nothing(client, house, role):
    person = signed_in(client, role)
    written = AuditEntry.objects.count()
    changes = {
        "price": ("prices.approve", {**calls(house)["prices"][1]}),
        "proposals": ("prices.approve", {"ids": [house["proposal"]]}),
        "tier": ("catalog.edit", {"id": house["offering"], "tier": "middle"}),
    }

    for path, (action, body) in calls(house).items():
        if not access.may(person, action):
            assert posted(client, path, body) == 403, path
    for change, (action, body) in changes.items():
        may = access.may(person, action)
        assert posted(client, "corrections/preview", {"change": change, **body}) == (200 if may else 403), change

    assert AuditEntry.objects.count() == written


def test_a_stranger_is_sent_away_everywhere(client, house):
    written = AuditEntry.objects.count()

    for path, (_, body) in calls(house).items():
        assert posted(client, path, body) in (401, 403), path
        assert posted(client, path, body, {"Authorization": "Bearer nobody"}) == 401, path
    for path, (_, form) in forms(house).items():
        assert client.post(path, form)["Location"].startswith("/accounts/login/"), path

    assert AuditEntry.objects.count() == written
    assert Contract.objects.count() == 1
