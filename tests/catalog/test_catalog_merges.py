"""Names that come to mean something else: assigned, merged, merged back, along chains."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from catalog.models import (
    UNASSIGNED_ID,
    Alias,
    Amendment,
    ClaimState,
    Offering,
    OfferingTier,
    Team,
    TeamAlias,
    UseCase,
    UseCaseTeam,
)
from catalog.rules import fold
from catalog.selectors import snapshot
from catalog.services import aliases, offerings, on_sight, teams, use_cases
from catalog.services.labels import LabelIsTaken
from core.errors import Invalid
from tests.catalog.making import JANUARY, JULY, MARCH, MAY, make_offering, span
from tests.factories import NOON, make_team, make_use_case

pytestmark = pytest.mark.django_db

TICK = timedelta(microseconds=1)
MONTHS = (JANUARY, MARCH, MAY, JULY)
LATER = JULY + timedelta(days=31)
HOW: dict[str, Any] = {"by": "ann@example.com", "at": LATER}

# Use cases and teams are merged alike: each test below runs for both.
KINDS = pytest.mark.parametrize("kind", ["use_case", "team"])


def make(kind, name, **overrides):
    return make_use_case(name, **overrides) if kind == "use_case" else make_team(name, **overrides)


def merge(kind, one, into, since_at, **overrides):
    service = use_cases if kind == "use_case" else teams
    service.merge(**{kind: one, "into": into, "since_at": since_at, **HOW, **overrides})


def add_alias(kind, one, label, since_at):
    service = use_cases if kind == "use_case" else teams
    return service.add_alias(**{kind: one}, label=label, since_at=since_at, by="tests")


def meant(kind, label, *instants):
    """Return the name of what a label means at each instant."""
    book = snapshot.load()
    found = [(book.use_case if kind == "use_case" else book.team)(fold(label), at) for at in instants]
    names = book.use_case_names if kind == "use_case" else book.team_names
    return [None if one is None else names[one] for one in found]


def reported(provider, model, *instants):
    """Return the offering that a reported name means at each instant."""
    book = snapshot.load()
    found = [book.offering(provider, model, at) for at in instants]
    return [book.offerings[one].name if isinstance(one, int) else f"new {one}" for one in found]


def seen(name):
    """Make an offering as a booking does that meets a name which nobody knows."""
    (id_,) = on_sight.offerings(names=[name], at=NOON).values()
    return Offering.objects.get(pk=id_)


# --- use cases and teams ---


@KINDS
def test_a_merged_name_means_the_other_from_the_instant_on(kind):
    one, other = make(kind, "Support_Routing"), make(kind, "support-routing")

    merge(kind, one, other, MARCH)

    assert meant(kind, "support_routing", MARCH - TICK, MARCH) == ["Support_Routing", "support-routing"]
    assert one.state == ClaimState.MERGED
    amendment = Amendment.objects.get()
    assert (amendment.kind, amendment.starts_at, amendment.ends_at) == (kind, MARCH, None)
    assert (getattr(amendment, f"{kind}_id"), amendment.into_id) == (one.pk, other.pk)


@KINDS
def test_merging_again_changes_and_amends_nothing(kind):
    one, other = make(kind, "one"), make(kind, "other")
    merge(kind, one, other, MARCH)

    merge(kind, one, other, MARCH)
    merge(kind, one, other, MAY)

    assert meant(kind, "one", *MONTHS) == ["one", "other", "other", "other"]
    assert Amendment.objects.count() == 1


@KINDS
def test_merging_from_an_earlier_instant_reaches_back(kind):
    one, other = make(kind, "one"), make(kind, "other")
    merge(kind, one, other, MAY)

    merge(kind, one, other, MARCH)

    assert meant(kind, "one", *MONTHS) == ["one", "other", "other", "other"]
    assert [one.starts_at for one in Amendment.objects.order_by("id")] == [MAY, MARCH]


@KINDS
def test_other_labels_go_along_those_that_begin_later_too(kind):
    one, other = make(kind, "one"), make(kind, "other")
    add_alias(kind, one, "early", JANUARY)
    add_alias(kind, one, "late", MAY)

    merge(kind, one, other, MARCH)

    assert meant(kind, "early", JANUARY, MARCH) == ["one", "other"]
    assert meant(kind, "late", MARCH, MAY) == [None, "other"]


@KINDS
def test_a_label_that_began_at_the_very_instant_goes_along(kind):
    one, other = make(kind, "one"), make(kind, "other")
    add_alias(kind, one, "label", MARCH)

    merge(kind, one, other, MARCH)

    assert meant(kind, "label", MARCH) == ["other"]


@KINDS
def test_a_chain_leads_to_its_end_from_each_instant_on(kind):
    a, b, c = (make(kind, name) for name in "abc")

    merge(kind, a, b, MARCH)
    merge(kind, b, c, MAY)

    assert meant(kind, "a", *MONTHS) == ["a", "b", "c", "c"]
    assert meant(kind, "b", *MONTHS) == ["b", "b", "c", "c"]


@KINDS
def test_a_chain_whose_later_link_begins_sooner_leads_to_its_end_too(kind):
    a, b, c = (make(kind, name) for name in "abc")

    merge(kind, a, b, MAY)
    merge(kind, b, c, MARCH)

    assert meant(kind, "a", *MONTHS) == ["a", "a", "c", "c"]
    assert meant(kind, "b", *MONTHS) == ["b", "c", "c", "c"]


@KINDS
@pytest.mark.parametrize("since_at", [JANUARY, JULY])
def test_nothing_is_merged_into_what_is_merged_itself(kind, since_at):
    a, b, c = (make(kind, name) for name in "abc")
    merge(kind, b, c, MAY)

    with pytest.raises(LabelIsTaken, match="assigned to another"):
        merge(kind, a, b, since_at)

    assert meant(kind, "a", *MONTHS) == ["a"] * 4
    assert Amendment.objects.count() == 1


@KINDS
def test_a_name_that_means_a_third_by_then_is_not_merged(kind):
    a, b, c = (make(kind, name) for name in "abc")
    merge(kind, a, b, MARCH)

    with pytest.raises(LabelIsTaken, match="means 'b'"):
        merge(kind, a, c, MAY)


@KINDS
@pytest.mark.parametrize("back", [JANUARY, MARCH, MAY])
def test_merged_back_both_names_mean_the_first_again(kind, back):
    a, b = make(kind, "a"), make(kind, "b")
    merge(kind, a, b, MARCH)

    merge(kind, b, a, back)

    before = [at for at in MONTHS if at < back]
    after = [at for at in MONTHS if at >= back]
    assert meant(kind, "b", *before, *after) == ["b"] * len(before) + ["a"] * len(after)
    assert meant(kind, "a", *after) == ["a"] * len(after)
    assert (a.state, b.state) == (ClaimState.CLAIMED, ClaimState.MERGED)


@KINDS
def test_events_that_name_none_cannot_be_merged_and_nothing_into_itself(kind):
    one = make(kind, "one")
    nobody = (UseCase if kind == "use_case" else Team).objects.get(pk=UNASSIGNED_ID)

    for each, into in ((nobody, one), (one, one)):
        with pytest.raises(Invalid):
            merge(kind, each, into, MARCH)


@KINDS
def test_a_merge_from_now_on_amends_nothing(kind):
    merge(kind, make(kind, "one"), make(kind, "other"), LATER)

    assert not Amendment.objects.exists()


def test_the_use_cases_of_a_merged_team_are_the_other_s_from_the_instant_on():
    old, new = make_team("old"), make_team("new")
    early, late = make_use_case("early"), make_use_case("late")
    use_cases.assign_team(use_case=early, team=old, since_at=JANUARY, by="tests")
    use_cases.assign_team(use_case=late, team=old, since_at=MAY, by="tests")

    teams.merge(team=old, into=new, since_at=MARCH, **HOW)

    book = snapshot.load()
    assert [book.team_of(early.pk, at) for at in (JANUARY, MARCH)] == [old.pk, new.pk]
    assert [book.team_of(late.pk, at) for at in (MARCH, MAY)] == [None, new.pk]


def test_a_team_is_renamed_there_and_back_and_there_again():
    team = make_team("support")

    for name in ("care", "support", "care"):
        teams.change(team=team, name=name, by="tests", at=NOON)

    assert (meant("team", "support", NOON), meant("team", "care", NOON)) == (["care"], ["care"])


def test_a_merged_team_may_be_renamed_and_its_old_name_goes_on_to_mean_the_other():
    old, new = make_team("old"), make_team("new")
    teams.merge(team=old, into=new, since_at=MARCH, **HOW)

    teams.change(team=old, name="old (2025)", by="tests", at=NOON)

    assert meant("team", "old", JANUARY, MARCH) == ["old (2025)", "new"]


def test_a_team_is_not_renamed_to_a_label_of_another():
    team, other = make_team("support"), make_team("other")
    teams.add_alias(team=other, label="care", since_at=JANUARY, by="tests")

    with pytest.raises(LabelIsTaken):
        teams.change(team=team, name="Care", by="tests", at=NOON)

    assert TeamAlias.objects.count() == 1


# --- who answers, and tiers ---


def test_a_team_that_answers_from_the_very_instant_is_put_right():
    use_case, wrong, right = make_use_case(), make_team("wrong"), make_team("right")
    use_cases.assign_team(use_case=use_case, team=wrong, since_at=MARCH, by="tests")

    use_cases.assign_team(use_case=use_case, team=right, since_at=MARCH, by="tests", at=NOON)

    assert [(one.team, one.valid) for one in UseCaseTeam.objects.all()] == [(right, span(MARCH))]
    amendment = Amendment.objects.get()
    assert (amendment.kind, amendment.team_id, amendment.into_id) == ("use_case_team", wrong.pk, right.pk)


def test_a_team_may_turn_out_to_have_answered_from_sooner_on():
    use_case, team = make_use_case(), make_team()
    use_cases.assign_team(use_case=use_case, team=team, since_at=MAY, by="tests")

    use_cases.assign_team(use_case=use_case, team=team, since_at=MARCH, by="tests", at=NOON)

    assert [one.valid for one in UseCaseTeam.objects.all()] == [span(MARCH)]
    with pytest.raises(use_cases.TeamIsKnown):
        use_cases.assign_team(use_case=use_case, team=make_team("other"), since_at=JANUARY, by="tests")


def test_a_tier_may_turn_out_to_have_held_from_sooner_on_but_not_across_another():
    offering = make_offering()
    offerings.set_tier(offering=offering, tier=1, since_at=MAY, by="tests")

    offerings.set_tier(offering=offering, tier=1, since_at=MARCH, by="tests", at=NOON)

    assert [(one.tier, one.valid) for one in OfferingTier.objects.all()] == [(1, span(MARCH))]
    assert Amendment.objects.get().starts_at == MARCH
    with pytest.raises(offerings.TierIsKnown):
        offerings.set_tier(offering=offering, tier=2, since_at=JANUARY, by="tests")


# --- offerings: merged ---


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("acme", "m-1"),
        ("Acme Inc.", "My Deployment #2"),
        ("", "mystery"),
        ("", "naïve model"),
        ("", "acme/m-1"),
        ("vertex", "claude-opus-9@20270101"),
        ("x" * 80, "m" * 200),
        ("bedrock", "us.anthropic.claude-opus-9-20270101-v1:0"),
        ("bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"),
        ("azure", "gpt-5.5"),
    ],
)
def test_a_name_that_nobody_knew_means_what_it_was_merged_into_however_it_was_written(provider, model):
    real = make_offering()
    at_first = snapshot.load().offering(provider, model, NOON)
    strange = seen(at_first)
    assert reported(provider, model, NOON) == [strange.name]

    offerings.merge(offering=strange, into=real, since_at=MARCH, **HOW)

    assert reported(provider, model, JANUARY, MARCH) == [strange.name, real.name]
    assert reported("", strange.name, MARCH) == [real.name]
    assert Offering.objects.get(pk=strange.pk).state == ClaimState.MERGED
    amendment = Amendment.objects.get()
    assert (amendment.kind, amendment.offerings, amendment.into_id) == ("offering", [strange.pk], real.pk)


def test_merging_an_offering_again_changes_and_amends_nothing():
    real, strange = make_offering(), seen("m-1@acme")
    offerings.merge(offering=strange, into=real, since_at=MARCH, **HOW)
    before = list(Alias.objects.order_by("id").values_list("name", "valid"))

    offerings.merge(offering=strange, into=real, since_at=MARCH, **HOW)

    assert list(Alias.objects.order_by("id").values_list("name", "valid")) == before
    assert Amendment.objects.count() == 1


def test_aliases_of_an_offering_go_along_whenever_they_begin():
    real, strange = make_offering(), make_offering("m-1@acme", default=False)
    for name, since_at in (("early", JANUARY), ("prompt", MARCH), ("late", MAY)):
        aliases.assign(name=name, offering=strange, since_at=since_at, by="tests")

    offerings.merge(offering=strange, into=real, since_at=MARCH, **HOW)

    assert reported("", "early", JANUARY, MARCH) == [strange.name, real.name]
    assert reported("", "prompt", MARCH) == reported("", "late", MAY) == [real.name]


def test_a_name_that_meant_the_other_for_a_time_means_it_before_and_after_too():
    real, strange = make_offering(), seen("m-1@acme")
    aliases.assign(name="acme/m-1", offering=real, since_at=MARCH, until=MAY, by="tests")
    assert reported("acme", "m-1", *MONTHS) == [strange.name, real.name, strange.name, strange.name]

    offerings.merge(offering=strange, into=real, since_at=JANUARY + TICK, **HOW)

    assert reported("acme", "m-1", *MONTHS) == [strange.name, real.name, real.name, real.name]
    assert reported("acme", "m-1", JANUARY + TICK) == [real.name]


def test_a_model_named_alone_goes_along_with_its_default_offering_and_meant_it_before():
    real, old = make_offering(), make_offering("gpt-5.4@openai")

    offerings.merge(offering=old, into=real, since_at=MARCH, **HOW)

    assert reported("", "gpt-5.4", JANUARY, MARCH) == ["gpt-5.4@openai", "gpt-5.5@openai"]


def test_offerings_merge_along_a_chain_and_not_into_what_is_merged():
    a, b, c = (make_offering(f"{name}@acme", default=False) for name in "abc")
    offerings.merge(offering=a, into=b, since_at=MAY, **HOW)
    offerings.merge(offering=b, into=c, since_at=MARCH, **HOW)

    with pytest.raises(aliases.NameIsTaken, match="assigned to another"):
        offerings.merge(offering=make_offering("d@acme"), into=b, since_at=JANUARY, **HOW)

    assert reported("acme", "a", *MONTHS) == ["a@acme", "a@acme", "c@acme", "c@acme"]
    assert reported("acme", "b", *MONTHS) == ["b@acme", "c@acme", "c@acme", "c@acme"]


@pytest.mark.parametrize("back", [JANUARY, MARCH, MAY])
def test_an_offering_is_merged_back(back):
    a, b = make_offering("a@acme", default=False), make_offering("b@acme", default=False)
    offerings.merge(offering=a, into=b, since_at=MARCH, **HOW)

    offerings.merge(offering=b, into=a, since_at=back, **HOW)

    after = [at for at in MONTHS if at >= back]
    assert reported("acme", "a", *after) == reported("acme", "b", *after) == ["a@acme"] * len(after)
    assert (a.state, b.state) == (ClaimState.CLAIMED, ClaimState.MERGED)


# --- offerings: assigned ---


def test_a_name_that_was_assigned_to_the_wrong_one_is_put_right():
    wrong, right = make_offering("gpt-5.4@openai"), make_offering()
    aliases.assign(name="house-model", offering=wrong, since_at=MARCH, by="tests")

    aliases.assign(name="House-Model", offering=right, since_at=MARCH, by="tests", at=NOON)

    assert reported("", "house-model", MARCH) == [right.name]
    amendment = Amendment.objects.get()
    assert (wrong.pk in amendment.offerings, amendment.into_id, amendment.starts_at) == (True, right.pk, MARCH)


def test_a_name_may_turn_out_to_have_meant_the_same_from_sooner_on():
    real = make_offering()
    aliases.assign(name="house-model", offering=real, since_at=MAY, by="tests")

    aliases.assign(name="house-model", offering=real, since_at=MARCH, by="tests", at=NOON)

    assert [one.valid for one in Alias.objects.all()] == [span(MARCH)]
    assert Amendment.objects.get().starts_at == MARCH


def test_a_name_for_a_time_reaches_into_what_it_meant_already():
    real = make_offering()
    aliases.assign(name="house-model", offering=real, since_at=MAY, until=JULY, by="tests")

    aliases.assign(name="house-model", offering=real, since_at=MARCH, until=MAY + TICK, by="tests")

    assert [one.valid for one in Alias.objects.all()] == [span(MARCH, JULY)]


def test_a_name_that_has_always_meant_one_moves_on_from_an_instant():
    old, new = make_offering("gpt-5.4@openai"), make_offering()
    Alias.objects.create(name="latest", offering=old, valid=span(None))

    aliases.assign(name="latest", offering=new, since_at=MARCH, by="tests")

    assert reported("", "latest", JANUARY, MARCH) == [old.name, new.name]


def test_a_name_that_means_another_later_on_is_not_taken_from_it():
    old, new = make_offering("gpt-5.4@openai"), make_offering()
    aliases.assign(name="latest", offering=old, since_at=MAY, by="tests")

    with pytest.raises(aliases.NameIsTaken):
        aliases.assign(name="latest", offering=new, since_at=MARCH, by="tests")
    with pytest.raises(aliases.NameIsTaken):
        aliases.assign(name="latest", offering=new, since_at=MAY, until=JULY, by="tests")

    assert reported("", "latest", MAY) == [old.name]


@pytest.mark.parametrize(
    ("name", "booked_on"),
    [
        ("acme/m-1", "m-1@acme"),  # provider and model told apart
        ("acme/m-1", "acme/m-1@unknown"),  # or in one word
        ("m-1", "m-1@unknown"),
        ("Vertex AI/m@1", "m-1@vertex-ai"),
    ],
)
def test_the_amendment_names_what_calls_under_the_name_were_booked_on(name, booked_on):
    strange, real = seen(booked_on), make_offering()

    aliases.assign(name=name.replace(" ", "-"), offering=real, since_at=MARCH, by="tests", at=NOON)

    assert Amendment.objects.get().offerings == [strange.pk]


def test_the_amendment_names_the_known_model_at_the_named_provider():
    aliases.assign(name="gpt-5.5-2026-04-23", offering=make_offering(), since_at=JANUARY, by="tests")
    at_azure = make_offering("gpt-5.5@azure", default=False)
    make_offering("gpt-5.5@acme", default=False)
    own = make_offering("house@azure", default=False)
    assert reported("azure", "gpt-5.5-2026-04-23", NOON) == [at_azure.name]

    aliases.assign(name="azure/gpt-5.5-2026-04-23", offering=own, since_at=MARCH, by="tests", at=NOON)

    assert Amendment.objects.get().offerings == [at_azure.pk]


def test_the_amendment_of_a_model_s_name_names_it_at_every_provider():
    old, new = make_offering("gpt-5.4@openai"), make_offering()
    at_azure = make_offering("gpt-5.4@azure", default=False)
    aliases.assign(name="latest", offering=old, since_at=JANUARY, by="tests")
    assert reported("azure", "latest", NOON) == [at_azure.name]

    aliases.assign(name="latest", offering=new, since_at=MARCH, by="tests", at=NOON)

    assert Amendment.objects.get().offerings == sorted([old.pk, at_azure.pk])
