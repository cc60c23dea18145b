"""Every constraint and guard of the catalogue's tables, broken once."""

from __future__ import annotations

from datetime import time, timedelta
from decimal import Decimal

import pytest
from django.apps import apps
from django.contrib.postgres.constraints import ExclusionConstraint
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.db.models import ProtectedError

from catalog.models import (
    Alias,
    Contract,
    Gateway,
    HourWindow,
    Model,
    Offering,
    OfferingTier,
    Price,
    PriceImport,
    PriceProposal,
    PriceSeries,
    Provider,
    Revision,
    SourceTable,
    Team,
    TeamAlias,
    UseCase,
    UseCaseAlias,
    UseCaseTeam,
)
from tests.catalog.making import JANUARY, JULY, MARCH, MAY, make_offering, make_price, make_series, span
from tests.factories import NOON, make_team, make_use_case

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
NEVER = span(JANUARY, JANUARY)


def refused(said, call):
    with pytest.raises((IntegrityError, ProgrammingError), match=said), transaction.atomic():
        call()


def sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statement, values)


def contract(**overrides):
    given = {"name": "frame", "valid": span(JANUARY), "recorded": span(NOON)}
    if not {"provider", "offering", "gateway"} & overrides.keys():
        given["provider"] = make_offering().provider
    return Contract.objects.create(**{**given, **overrides})


def gateway(name="edge"):
    return Gateway.objects.create(name=name, created_at=NOON)


def window(**overrides):
    given = {"name": "night", "weekdays": [0], "starts": time(1), "ends": time(4)}
    return HourWindow.objects.create(**{**given, **overrides})


def imported(**overrides):
    of_import = PriceImport.objects.create(source="csv", digest="0", models_count=1, by="tests", at=NOON)
    given = {"of_import": of_import, "source": "csv", "kind": "new", "offering_name": "m@p", "lines": []}
    return PriceProposal.objects.create(**{**given, **overrides})


def source_table():
    return SourceTable.objects.create(
        source="csv", digest="0", models_count=1, quotes={}, read_at=NOON, read_by="tests"
    )


BROKEN = {
    "catalog_contract_valid_not_empty": lambda: contract(valid=NEVER),
    "catalog_contract_recorded_not_empty": lambda: contract(recorded=NEVER),
    "catalog_sourcetable_once": lambda: (source_table(), source_table()),
    "catalog_proposal_kind_known": lambda: imported(kind="odd"),
    "catalog_proposal_state_known": lambda: imported(state="odd"),
    "catalog_proposal_open_once": lambda: (imported(), imported()),
    "catalog_revision_is_one": lambda: Revision.objects.create(id=2),
    "catalog_provider_name_once": lambda: Provider.objects.create(name=make_offering().provider.name),
    "catalog_model_name_once": lambda: Model.objects.create(name=make_offering().model.name),
    "catalog_offering_once": lambda: Offering.objects.create(
        model=make_offering().model, provider=make_offering().provider, name="other@openai"
    ),
    "catalog_offering_name_once": lambda: Offering.objects.filter(pk=make_offering("gpt-5@openai").pk).update(
        name=make_offering().name
    ),
    "catalog_offering_state_known": lambda: Offering.objects.filter(pk=make_offering().pk).update(state="lost"),
    "catalog_tier_one_at_a_time": lambda: [
        OfferingTier.objects.create(offering=make_offering(), tier=tier, valid=valid)
        for tier, valid in ((1, span(JANUARY, MAY)), (2, span(MARCH)))
    ],
    "catalog_tier_known": lambda: OfferingTier.objects.create(offering=make_offering(), tier=5, valid=span(JANUARY)),
    "catalog_tier_valid_not_empty": lambda: OfferingTier.objects.create(offering=make_offering(), tier=1, valid=NEVER),
    "catalog_alias_one_at_a_time": lambda: [
        Alias.objects.create(name="openai/gpt-5.5", offering=make_offering(), valid=valid)
        for valid in (span(None, MAY), span(MARCH, JULY))
    ],
    "catalog_alias_valid_not_empty": lambda: Alias.objects.create(name="x", offering=make_offering(), valid=NEVER),
    "catalog_alias_folded": lambda: Alias.objects.create(name="GPT", offering=make_offering(), valid=span(JANUARY)),
    "catalog_team_once": lambda: Team.objects.create(name="Support", folded=make_team("support").folded),
    "catalog_team_state_known": lambda: Team.objects.filter(pk=make_team().pk).update(state="lost"),
    "catalog_usecase_once": lambda: UseCase.objects.create(name="x", folded=make_use_case().folded),
    "catalog_usecase_state_known": lambda: UseCase.objects.filter(pk=make_use_case().pk).update(state="lost"),
    "catalog_usecaseteam_one_at_a_time": lambda: [
        UseCaseTeam.objects.create(use_case=make_use_case(), team=make_team(name), valid=valid)
        for name, valid in (("support", span(JANUARY)), ("care", span(MARCH, MAY)))
    ],
    "catalog_usecaseteam_not_empty": lambda: UseCaseTeam.objects.create(
        use_case=make_use_case(), team=make_team(), valid=NEVER
    ),
    "catalog_usecasealias_one_at_a_time": lambda: [
        UseCaseAlias.objects.create(folded="router", use_case=make_use_case(name), valid=span(JANUARY))
        for name in ("one", "two")
    ],
    "catalog_teamalias_one_at_a_time": lambda: [
        TeamAlias.objects.create(folded="care", team=make_team(name), valid=span(JANUARY)) for name in ("one", "two")
    ],
    "catalog_usecasealias_not_empty": lambda: UseCaseAlias.objects.create(
        folded="router", use_case=make_use_case(), valid=NEVER
    ),
    "catalog_teamalias_not_empty": lambda: TeamAlias.objects.create(folded="care", team=make_team(), valid=NEVER),
    "catalog_gateway_once": lambda: [gateway(), gateway()],
    "catalog_gateway_takes_rules": lambda: Gateway.objects.create(name="edge", created_at=NOON, takes_rules="fax"),
    "catalog_hourwindow_once": lambda: [window(), window()],
    "catalog_contract_one_scope": lambda: contract(gateway=gateway(), offering=make_offering()),
    "catalog_contract_discount_in_range": lambda: contract(discount_percent=Decimal("100.0001")),
    "catalog_contract_one_at_a_time": lambda: [
        contract(valid=valid) for valid in (span(JANUARY, MAY), span(MARCH, JULY))
    ],
    "catalog_series_once": lambda: [make_series(), make_series()],
    "catalog_series_usd_only": lambda: make_series(currency="EUR"),
    "catalog_series_meter_known": lambda: make_series(meter="smoke"),
    "catalog_price_one_at_a_time": lambda: make_price(make_price(make_series()).series, valid=span(MARCH, MAY)),
    "catalog_price_not_negative": lambda: make_price(make_series(), usd_per_1m=Decimal("-0.01")),
    "catalog_price_valid_not_empty": lambda: make_price(make_series(), valid=NEVER),
    "catalog_price_recorded_not_empty": lambda: make_price(make_series(), recorded=NEVER),
}


@pytest.mark.parametrize("constraint", BROKEN)
def test_a_constraint_refuses_what_breaks_it(constraint):
    refused(constraint, BROKEN[constraint])


def test_each_constraint_of_the_catalogue_is_broken_above():
    named = {
        constraint.name
        for model in apps.get_app_config("catalog").get_models()
        for constraint in model._meta.constraints
    }

    assert named == BROKEN.keys()


def test_every_dated_table_refuses_overlaps():
    guarded = {
        model
        for model in apps.get_app_config("catalog").get_models()
        if any(isinstance(constraint, ExclusionConstraint) for constraint in model._meta.constraints)
    }
    dated = {
        model
        for model in apps.get_app_config("catalog").get_models()
        if any(field.name == "valid" for field in model._meta.fields)
    }

    assert guarded == dated


@pytest.mark.parametrize(
    "overrides", [{"provider": None}, {"discount_percent": Decimal("-0.0001")}], ids=["no scope", "negative discount"]
)
def test_a_contract_is_for_one_thing_and_gives_a_discount_from_0_to_100(overrides):
    refused("catalog_contract", lambda: contract(**overrides))


@pytest.mark.parametrize("meter", ["output", "web_searches"])
def test_two_list_series_for_the_same_thing_are_one_though_their_columns_are_null(meter):
    make_series(meter=meter)

    refused("catalog_series_once", lambda: make_series(meter=meter))


def test_ranges_that_abut_do_not_overlap():
    series = make_series()

    make_price(series, valid=span(JANUARY, MARCH))
    make_price(series, valid=span(MARCH, MAY))
    make_price(series, valid=span(JANUARY, MAY), recorded=span(NOON - DAY, NOON))

    assert Price.objects.count() == 3


@pytest.mark.parametrize(
    "column",
    [
        "usd_per_1m = 6", "valid = tstzrange('2026-02-01Z', NULL)", "source = 'else'", "note = 'else'",
        "entered_by = 'else'", "approved_by = 'else'", "series_id = series_id + 0, source_url = 'x'",
        "recorded = tstzrange('2020-01-01Z', '2027-01-01Z')", "recorded = recorded",
    ],
)  # fmt: skip
def test_nothing_of_a_price_changes_but_the_end_of_its_record(column):
    make_price(make_series())

    refused("closing what was recorded is all that may change", lambda: sql(f"UPDATE catalog_price SET {column}"))


def test_closing_what_was_recorded_is_let_through_once():
    price = make_price(make_series())
    closed = "UPDATE catalog_price SET recorded = tstzrange(lower(recorded), %s)"

    sql(closed, NOON + DAY)

    price.refresh_from_db()
    assert price.recorded.upper == NOON + DAY
    refused("is all that may change", lambda: sql(closed, NOON + 2 * DAY))
    refused("is all that may change", lambda: sql(closed, None))


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM catalog_price", "Cannot delete rows"),
        ("TRUNCATE catalog_price CASCADE", "TRUNCATE of catalog_price is refused"),
    ],
)
def test_prices_are_never_removed(statement, said):
    make_price(make_series())

    refused(said, lambda: sql(statement))

    assert Price.objects.count() == 1


@pytest.mark.parametrize(
    "statement", ["DELETE FROM catalog_hourwindow", "UPDATE catalog_hourwindow SET ends = '05:00'"]
)
def test_an_hour_window_stays_as_it_is_because_prices_were_read_by_it(statement):
    window()

    refused("Cannot delete or update rows", lambda: sql(statement))


def test_what_has_prices_names_or_teams_cannot_be_deleted_with_its_history():
    offering = make_price(make_series()).series
    UseCaseTeam.objects.create(use_case=make_use_case(), team=make_team(), valid=span(JANUARY))

    for kept in (offering.model, offering.provider, offering, make_use_case(), make_team()):
        with pytest.raises(ProtectedError):
            kept.delete()
    assert (PriceSeries.objects.count(), UseCase.objects.count(), Team.objects.count()) == (1, 2, 2)
