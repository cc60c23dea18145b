"""What events call things, and what that means at their time."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from budgets.models import Counter
from catalog.models import Model, Offering, Provider, Tier, UseCase
from catalog.rules import Book, Dated, OfferingFacts, clean_name, fold
from catalog.services import aliases, offerings, on_sight, teams, use_cases
from tests.factories import make_budget, make_team, make_use_case
from tests.usage.checks import assert_counters_equal_ledger
from tests.usage.making import (
    LONG_AGO,
    NOON,
    SECOND,
    book,
    entries,
    make_event,
    make_offering,
    make_priced_offering,
    outcome,
    send,
    take,
    the_entry,
)
from usage.models import RequestContext

BEFORE, AFTER = datetime(2026, 6, 14, tzinfo=UTC), datetime(2026, 6, 16, tzinfo=UTC)


# --- offerings, from a book alone ---


def book_of(*names, default=(), alias=None):
    ids = {name: number for number, name in enumerate(names, start=1)}
    facts = {id_: OfferingFacts(id_, name, *name.split("@")) for name, id_ in ids.items()}
    return Book(
        offerings=facts,
        offering_ids={name.lower(): id_ for name, id_ in ids.items()},
        default_offerings={name.split("@")[0].lower(): ids[name] for name in default},
        offering_aliases={name: tuple(held) for name, held in (alias or {}).items()},
    )


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-5.5"), ("OpenAI", "GPT-5.5"), (" openai ", " gpt-5.5 "), ("", "gpt-5.5@openai")],
)
def test_a_model_at_its_provider_is_the_offering_however_it_is_written(provider, model):
    assert book_of("gpt-5.5@openai").offering(provider, model, NOON) == 1


def test_a_model_alone_means_its_default_offering():
    book = book_of("gpt-5.5@openai", "gpt-5.5@azure", default=["gpt-5.5@azure"])

    assert book.offering("", "gpt-5.5", NOON) == 2


def test_a_model_alone_without_a_default_is_nobody_s():
    assert book_of("gpt-5.5@openai").offering("", "gpt-5.5", NOON) == "gpt-5.5@unknown"


def test_an_alias_holds_for_its_time_only():
    dated = [Dated(None, BEFORE, 1), Dated(BEFORE, AFTER, 2)]
    book = book_of("gpt-5.4@openai", "gpt-5.5@openai", alias={"openai/latest": dated})

    assert book.offering("", "openai/latest", datetime(2026, 6, 13, 23, 59, tzinfo=UTC)) == 1
    assert book.offering("", "openai/latest", BEFORE) == 2
    assert book.offering("", "openai/latest", AFTER) == "openai/latest@unknown"


def test_a_provider_and_a_model_may_be_an_alias_together():
    book = book_of("gpt-5.5@openai", alias={"openai/gpt-5.5-2026-04-23": [Dated(None, None, 1)]})

    assert book.offering("openai", "gpt-5.5-2026-04-23", NOON) == 1


def test_an_alias_known_for_another_provider_is_the_same_model_at_the_event_s_provider():
    known = {"gpt-5.5-2026-04-23": [Dated(None, None, 1)]}

    both = book_of("gpt-5.5@openai", "gpt-5.5@azure", alias=known)
    assert both.offering("azure", "gpt-5.5-2026-04-23", NOON) == 2
    one = book_of("gpt-5.5@openai", alias=known)
    assert one.offering("azure", "gpt-5.5-2026-04-23", NOON) == "gpt-5.5@azure"


def test_a_default_offering_at_another_provider_says_the_model_only():
    book = book_of("gpt-5.5@openai", default=["gpt-5.5@openai"])

    assert book.offering("azure", "gpt-5.5", NOON) == "gpt-5.5@azure"


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [("", "", "unknown@unknown"), ("acme", "", "unknown@acme"), ("a@b", "x@y", "x-y@a-b"), ("é", "m n", "m-n@unknown")],
)
def test_what_nobody_knows_gets_a_name_that_can_be_one(provider, model, name):
    assert book_of().offering(provider, model, NOON) == name


@pytest.mark.parametrize(
    ("label", "folded"),
    [("  Support  Routing ", "support routing"), ("ÜBERSETZUNG", "übersetzung"), ("Straße", "strasse"), ("", "")],
)
def test_labels_are_compared_trimmed_and_case_folded(label, folded):
    assert fold(label) == folded
    assert fold(folded) == folded


def test_labels_that_look_the_same_are_the_same():
    assert fold("U\u0308bersetzung") == fold("\u00dcbersetzung")


def test_a_clean_name_is_never_empty_and_never_too_long():
    assert (clean_name("///"), clean_name("!!"), len(clean_name("x" * 500))) == ("///", "unknown", 128)


# --- through a booking ---


@pytest.mark.django_db
def test_an_event_without_a_use_case_belongs_to_unassigned():
    send(make_event(use_case=""), make_event(use_case="Unassigned"), make_event(use_case="  "))

    assert {(entry.use_case.name, entry.team.name) for entry in entries()} == {("unassigned", "unassigned")}
    assert UseCase.objects.count() == 1


@pytest.mark.django_db
def test_new_names_are_made_on_sight_once_and_wait_for_an_owner():
    send(
        make_event(use_case="Code Review", team="Platform", provider="acme", model="m-1"),
        make_event(use_case="code  review ", team="PLATFORM", provider="Acme", model="M-1"),
    )

    use_case, offering = UseCase.objects.get(folded="code review"), Offering.objects.get()
    assert (use_case.name, use_case.state, use_case.first_seen_at) == ("Code Review", "waiting", NOON + 2 * SECOND)
    assert (offering.name, offering.state) == ("m-1@acme", "waiting")
    assert {(e.use_case_id, e.offering_id, e.team.name, e.tier) for e in entries()} == {
        (use_case.pk, offering.pk, "Platform", Tier.UNCLASSIFIED)
    }


@pytest.mark.django_db
def test_a_new_offering_of_a_known_model_takes_its_names_as_they_are_written():
    Model.objects.create(name="GPT-5.5")
    Provider.objects.create(name="OpenAI")

    send(make_event(provider="openai", model="gpt-5.5"))

    assert the_entry().offering.name == "GPT-5.5@OpenAI"


@pytest.mark.django_db
def test_labels_mean_what_their_alias_meant_at_the_event_s_time():
    support, care = make_use_case("support"), make_use_case("care")
    use_cases.add_alias(use_case=support, label="Helpdesk", since_at=BEFORE, by="tests")
    desk = make_team("desk")
    teams.add_alias(team=desk, label="Service Desk", since_at=BEFORE, by="tests")

    send(make_event(use_case="HELPDESK", team="service desk"), make_event(use_case="care"))

    first, second = entries()
    assert (first.use_case_id, first.team_id) == (support.pk, desk.pk)
    assert (second.use_case_id, second.team.name) == (care.pk, "unassigned")


@pytest.mark.django_db
def test_an_event_without_a_team_belongs_to_the_use_case_s_team_of_its_time():
    use_case = make_use_case("support")
    before, after = make_team("before"), make_team("after")
    use_cases.assign_team(use_case=use_case, team=before, since_at=LONG_AGO, by="tests")
    use_cases.assign_team(use_case=use_case, team=after, since_at=NOON, by="tests")

    send(
        make_event(use_case="support", occurred_at=NOON - SECOND),
        make_event(use_case="support"),
        make_event(use_case="support", team="another"),
    )

    assert [entry.team.name for entry in entries()] == ["before", "after", "another"]


@pytest.mark.django_db
def test_a_tier_is_the_one_of_the_event_s_time():
    offering = make_offering(tier=Tier.FRONTIER)
    offerings.set_tier(offering=offering, tier=Tier.MIDDLE, since_at=NOON, by="tests")

    send(make_event(occurred_at=NOON - SECOND), make_event())

    assert [entry.tier for entry in entries()] == [Tier.FRONTIER, Tier.MIDDLE]


@pytest.mark.django_db
def test_a_name_that_is_set_right_is_seen_by_the_next_booking():
    offering = make_offering()
    send(make_event(provider="", model="our-best"))

    aliases.assign(name="our-best", offering=offering, by="tests", since_at=LONG_AGO)
    send(make_event(provider="", model="our-best"))

    assert [entry.offering.name for entry in entries()] == ["our-best@unknown", "gpt-5.5@openai"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "overrides",
    [
        {"provider": "p" * 128, "model": "m" * 128},
        {"provider": "-" * 128, "model": "m" * 127 + "-"},
        {"use_case": "ß" * 128, "team": "ŉ" * 128},
        {"use_case": "ΐ" * 128, "team": "\ufb03" * 128},
    ],
)
def test_the_longest_names_that_a_gateway_may_send_are_booked(overrides):
    receipt = send(make_event(**overrides), make_event(**overrides))

    assert outcome(receipt) == {"booked": 2}
    assert len({(entry.use_case_id, entry.team_id, entry.offering_id) for entry in entries()}) == 1


@pytest.mark.django_db
def test_two_long_offerings_that_differ_at_their_ends_stay_two():
    send(make_event(provider="p" * 128, model="m" * 128), make_event(provider="p" * 128, model="m" * 127 + "n"))

    assert len({entry.offering_id for entry in entries()}) == 2


def know_the_catalogue():
    """Let this process read the catalogue; the first booking of a source moves its revision once more."""
    send(make_event(use_case="before"))
    send(make_event(use_case="before"))


def wait_for_an_owner(table, count):
    names = {
        "catalog_usecase": "INSERT INTO catalog_usecase (name, folded, title, owner, data_class, state) "
        "SELECT 'w' || n, 'w' || n, '', '', '', 'waiting' FROM generate_series(1, %s) n",
        "catalog_offering": "WITH m AS (INSERT INTO catalog_model (name, lab, open_weights, licence, known_for) "
        "SELECT 'w' || n, '', false, '', '' FROM generate_series(1, %s) n RETURNING id, name), "
        "p AS (INSERT INTO catalog_provider (name, title) VALUES ('w', '') RETURNING id) "
        "INSERT INTO catalog_offering (model_id, provider_id, name, region, data_class, gateway_names, state) "
        "SELECT m.id, p.id, m.name || '@w', '', '', '{}', 'waiting' FROM m, p",
    }
    with connection.cursor() as cursor:
        cursor.execute(names[table], [count])


@pytest.mark.django_db
def test_past_the_most_that_may_wait_a_new_label_counts_as_none():
    wait_for_an_owner("catalog_usecase", on_sight.MOST_WAITING - 1)

    receipt = send(make_event(use_case="a-first"), make_event(use_case="b-second"))

    assert outcome(receipt) == {"booked": 2}
    assert [entry.use_case.name for entry in entries()] == ["a-first", "unassigned"]


@pytest.mark.django_db
def test_past_the_most_that_may_wait_new_models_share_an_offering():
    wait_for_an_owner("catalog_offering", on_sight.MOST_WAITING)

    receipt = send(make_event(model="new-1"), make_event(model="new-2"), make_event(provider="w", model="w7"))

    assert outcome(receipt) == {"booked": 3}
    assert [entry.offering.name for entry in entries()] == ["unknown@unknown", "unknown@unknown", "w7@w"]


@pytest.mark.django_db
def test_past_the_most_that_may_wait_names_that_another_process_made_are_found():
    know_the_catalogue()
    with connection.cursor() as cursor:  # another one makes these: rows that booking adds do not move the revision
        cursor.execute(
            "INSERT INTO catalog_usecase (name, folded, title, owner, data_class, state) "
            "VALUES ('zz-known', 'zz-known', '', '', '', 'waiting')"
        )
    wait_for_an_owner("catalog_offering", on_sight.MOST_WAITING)
    wait_for_an_owner("catalog_usecase", on_sight.MOST_WAITING)

    send(make_event(use_case="zz-known", provider="w", model="w7"))

    entry = entries()[-1]
    assert (entry.use_case.name, entry.offering.name) == ("zz-known", "w7@w")


@pytest.mark.django_db
def test_a_label_that_another_process_made_in_other_letters_is_counted_by_its_budget():
    make_priced_offering()
    know_the_catalogue()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO catalog_usecase (name, folded, title, owner, data_class, state) "
            "VALUES ('Alpha', 'alpha', '', '', '', 'waiting')"
        )
    send(make_event(use_case="ALPHA"))
    budget = make_budget(scope={"use_case": ["Alpha"]}, at=NOON)
    Counter.objects.filter(budget=budget).update(used=1100)

    send(make_event(use_case="ALPHA"))

    assert_counters_equal_ledger()


@pytest.mark.django_db
def test_names_made_in_a_booking_that_failed_are_not_remembered():
    know_the_catalogue()
    with connection.cursor() as cursor:  # as a full disk would, after the names were made
        cursor.execute("ALTER TABLE ledger ADD CONSTRAINT full_disk CHECK (id < 0) NOT VALID")
    receipt_id = take(make_event(use_case="new", context={"task": "new"}))
    book()
    assert not UseCase.objects.filter(name="new").exists()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ledger DROP CONSTRAINT full_disk")

    book(at=NOON + timedelta(minutes=1))

    entry = entries()[-1]
    assert (entry.receipt_id, entry.use_case.name) == (receipt_id, "new")
    assert RequestContext.objects.get(pk=entry.context_id).content == {"task": "new"}
