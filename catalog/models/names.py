"""What events name: providers, models, offerings, use cases and teams, with their dated tiers and other names."""

from __future__ import annotations

from django.contrib.postgres.fields import DateTimeRangeField
from django.db import models
from django.db.models import F, Func, Q

from catalog.models.common import NAME, ClaimState, changes_catalog, changes_catalog_by_update
from core.ranges import no_overlap
from core.triggers import audited

UNASSIGNED_ID = 1  # the use case and the team of events that name none


class Tier(models.IntegerChoices):
    UNCLASSIFIED = 0, "unclassified"
    FRONTIER = 1, "frontier"
    MIDDLE = 2, "middle"
    ECONOMY = 3, "economy"
    SELF_HOSTED = 4, "self-hosted"


class Provider(models.Model):
    name = models.CharField(max_length=64, validators=[NAME])
    title = models.CharField(max_length=128, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(name="catalog_provider_name_once", fields=["name"])]
        triggers = [audited(), changes_catalog_by_update()]

    def __str__(self) -> str:
        return self.name


class Model(models.Model):
    """A model by our name for it, whoever serves it."""

    name = models.CharField(max_length=128, validators=[NAME])
    lab = models.CharField(max_length=64, blank=True)
    open_weights = models.BooleanField(default=False)
    licence = models.CharField(max_length=64, blank=True)
    context_tokens = models.PositiveIntegerField(null=True, blank=True)
    released_on = models.DateField(null=True, blank=True)
    known_for = models.CharField(max_length=200, blank=True)
    # A model named alone means this offering.
    default_offering = models.ForeignKey(
        "Offering", null=True, blank=True, on_delete=models.PROTECT, related_name="default_of"
    )

    class Meta:
        constraints = [models.UniqueConstraint(name="catalog_model_name_once", fields=["name"])]
        triggers = [audited(), changes_catalog_by_update()]

    def __str__(self) -> str:
        return self.name


class Offering(models.Model):
    """A model at a provider, written `claude-opus-4.7@anthropic`: what has a price, a region and a tier.

    One that an event named and nobody knows is made on sight and waits; its entries are unpriced until somebody claims
    it with a price, or says which offering it really is.
    """

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="offerings")
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="offerings")
    name = models.CharField(max_length=193)  # kept beside its parts because everything is looked up by it
    region = models.CharField(max_length=32, blank=True)
    data_class = models.CharField(max_length=32, blank=True)
    gateway_names = models.JSONField(default=dict, blank=True)  # {"litellm": "anthropic/claude-opus-4-7"}
    state = models.CharField(max_length=8, choices=ClaimState.choices, default=ClaimState.CLAIMED)
    first_seen_at = models.DateTimeField(null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="catalog_offering_once", fields=["model", "provider"]),
            models.UniqueConstraint(name="catalog_offering_name_once", fields=["name"]),
            models.CheckConstraint(name="catalog_offering_state_known", condition=Q(state__in=ClaimState.values)),
        ]
        triggers = [audited(), changes_catalog_by_update()]

    def __str__(self) -> str:
        return self.name


class OfferingTier(models.Model):
    """The tier of an offering over a time; moving it does not rewrite the past."""

    offering = models.ForeignKey(Offering, on_delete=models.PROTECT, related_name="tiers")
    tier = models.SmallIntegerField(choices=Tier.choices)
    valid = DateTimeRangeField()

    class Meta:
        constraints = [
            no_overlap("catalog_tier_one_at_a_time", same="offering", ranges=["valid"]),
            models.CheckConstraint(name="catalog_tier_known", condition=Q(tier__in=[1, 2, 3, 4])),
            models.CheckConstraint(name="catalog_tier_valid_not_empty", condition=Q(valid__isempty=False)),
        ]
        triggers = [audited(), changes_catalog()]

    def __str__(self) -> str:
        return f"#{self.pk} {self.get_tier_display()}"


class Alias(models.Model):
    """What gateways call an offering, over a time: `openai/gpt-5.5`, `gpt-5.5-2026-04-23`. Kept case-folded."""

    name = models.CharField(max_length=193)
    offering = models.ForeignKey(Offering, on_delete=models.PROTECT, related_name="aliases")
    valid = DateTimeRangeField()

    class Meta:
        constraints = [
            no_overlap("catalog_alias_one_at_a_time", same_text="name", ranges=["valid"]),
            models.CheckConstraint(name="catalog_alias_valid_not_empty", condition=Q(valid__isempty=False)),
            models.CheckConstraint(name="catalog_alias_folded", condition=Q(name=Func(F("name"), function="lower"))),
        ]
        verbose_name_plural = "aliases"
        triggers = [audited(), changes_catalog()]

    def __str__(self) -> str:
        return f"#{self.pk} {self.name}"


class Team(models.Model):
    name = models.CharField(max_length=128)  # as first written
    folded = models.CharField(max_length=128)  # trimmed and case-folded: what labels are compared by
    state = models.CharField(max_length=8, choices=ClaimState.choices, default=ClaimState.CLAIMED)
    first_seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="catalog_team_once", fields=["folded"]),
            models.CheckConstraint(name="catalog_team_state_known", condition=Q(state__in=ClaimState.values)),
        ]
        triggers = [audited(), changes_catalog_by_update()]

    def __str__(self) -> str:
        return self.name


class UseCase(models.Model):
    name = models.CharField(max_length=128)
    folded = models.CharField(max_length=128)
    title = models.CharField(max_length=200, blank=True)
    owner = models.CharField(max_length=254, blank=True)
    data_class = models.CharField(max_length=32, blank=True)
    state = models.CharField(max_length=8, choices=ClaimState.choices, default=ClaimState.CLAIMED)
    first_seen_at = models.DateTimeField(null=True, blank=True)
    # What all of its calls would go to without routing: what was saved is told against it. Null: nobody chose.
    baseline = models.ForeignKey("Offering", null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(name="catalog_usecase_once", fields=["folded"]),
            models.CheckConstraint(name="catalog_usecase_state_known", condition=Q(state__in=ClaimState.values)),
        ]
        triggers = [audited(), changes_catalog_by_update()]

    def __str__(self) -> str:
        return self.name


class UseCaseTeam(models.Model):
    """The team that answers for a use case over a time; events that name no team belong to it."""

    use_case = models.ForeignKey(UseCase, on_delete=models.PROTECT, related_name="teams")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="use_cases")
    valid = DateTimeRangeField()

    class Meta:
        constraints = [
            no_overlap("catalog_usecaseteam_one_at_a_time", same="use_case", ranges=["valid"]),
            models.CheckConstraint(name="catalog_usecaseteam_not_empty", condition=Q(valid__isempty=False)),
        ]
        triggers = [audited(), changes_catalog()]

    def __str__(self) -> str:
        return f"#{self.pk}"


class UseCaseAlias(models.Model):
    """Another label of a use case over a time, folded. It goes before a use case that is called so itself."""

    folded = models.CharField(max_length=128)
    use_case = models.ForeignKey(UseCase, on_delete=models.PROTECT, related_name="aliases")
    valid = DateTimeRangeField()

    class Meta:
        constraints = [
            no_overlap("catalog_usecasealias_one_at_a_time", same_text="folded", ranges=["valid"]),
            models.CheckConstraint(name="catalog_usecasealias_not_empty", condition=Q(valid__isempty=False)),
        ]
        triggers = [audited(), changes_catalog()]

    def __str__(self) -> str:
        return f"#{self.pk} {self.folded}"


class TeamAlias(models.Model):
    """Another label of a team over a time, folded. It goes before a team that is called so itself."""

    folded = models.CharField(max_length=128)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="aliases")
    valid = DateTimeRangeField()

    class Meta:
        constraints = [
            no_overlap("catalog_teamalias_one_at_a_time", same_text="folded", ranges=["valid"]),
            models.CheckConstraint(name="catalog_teamalias_not_empty", condition=Q(valid__isempty=False)),
        ]
        triggers = [audited(), changes_catalog()]

    def __str__(self) -> str:
        return f"#{self.pk} {self.folded}"
