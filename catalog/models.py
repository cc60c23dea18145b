"""What events name and prices are for: providers, models, offerings, use cases, teams, gateways, the price book.

Whatever an event names exists here as a row from then on; what nobody has claimed yet waits (`state`).
"""

from __future__ import annotations

import re

import pgtrigger
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Func, Q

from core.models import ApiKey
from core.money import PRICE
from core.ranges import no_overlap
from core.triggers import append_only, audited, no_truncate

NAME_PATTERN = r"^[A-Za-z0-9._:/@-]{1,128}$"
NAME = RegexValidator(re.compile(NAME_PATTERN), "Use letters, digits and . _ : / @ - only, 128 at most.")

UNASSIGNED_ID = 1  # the use case and the team of events that name none


class Tier(models.IntegerChoices):
    UNCLASSIFIED = 0, "unclassified"
    FRONTIER = 1, "frontier"
    MIDDLE = 2, "middle"
    ECONOMY = 3, "economy"
    SELF_HOSTED = 4, "self-hosted"


class Meter(models.TextChoices):
    """What is counted and priced apart. Tokens, save the last two; prices are per million of each."""

    UNCACHED_INPUT = "uncached_input", "uncached input"
    CACHE_READ = "cache_read", "cache read"
    CACHE_WRITE_5M = "cache_write_5m", "cache write, 5 minutes"
    CACHE_WRITE_1H = "cache_write_1h", "cache write, 1 hour"
    OUTPUT = "output", "output"
    AUDIO_INPUT = "audio_input", "audio input"
    AUDIO_OUTPUT = "audio_output", "audio output"
    IMAGE_INPUT = "image_input", "image input"
    IMAGE_OUTPUT = "image_output", "image output"
    REQUESTS = "requests", "requests"
    WEB_SEARCHES = "web_searches", "web searches"


METER_LABELS = {str(value): str(label) for value, label in Meter.choices}


class ClaimState(models.TextChoices):
    CLAIMED = "claimed", "claimed"
    WAITING = "waiting", "waiting for an owner"
    MERGED = "merged", "merged into another"


def changes_catalog() -> pgtrigger.Trigger:
    """Tell every process that caches the catalogue: the revision moves in the change's own transaction."""
    return pgtrigger.Trigger(
        name="moves_revision",
        when=pgtrigger.After,
        level=pgtrigger.Statement,
        operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
        func="UPDATE catalog_revision SET number = number + 1; RETURN NULL;",
    )


def changes_catalog_by_update() -> pgtrigger.Trigger:
    """As above for tables that booking itself adds rows to: a new row is looked up when it is missed."""
    trigger = changes_catalog()
    trigger.operation = pgtrigger.Update | pgtrigger.Delete
    return trigger


class Revision(models.Model):
    """One row that moves with every change of the catalogue."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    number = models.BigIntegerField(default=0)

    class Meta:
        db_table = "catalog_revision"
        constraints = [models.CheckConstraint(name="catalog_revision_is_one", condition=Q(id=1))]

    def __str__(self) -> str:
        return str(self.number)


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


class TakesRules(models.TextChoices):
    """How a gateway gets the rules of the environments of its keys."""

    POLL = "poll", "it polls for them"
    EXPORT = "export", "somebody brings them in, in the form of its kind"
    NONE = "none", "not at all"


class Gateway(models.Model):
    """Who reports usage and takes rules. Never made on sight: a key stands for one."""

    name = models.CharField(max_length=128, validators=[NAME])
    kind = models.CharField(max_length=32, default="native")  # litellm, bifrost, cloudflare, ...
    settings = models.JSONField(default=dict, blank=True)  # such as where its events keep the use case
    takes_rules = models.CharField(
        max_length=8, choices=TakesRules.choices, default=TakesRules.POLL, db_default=TakesRules.POLL
    )
    created_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="catalog_gateway_once", fields=["name"]),
            models.CheckConstraint(name="catalog_gateway_takes_rules", condition=Q(takes_rules__in=TakesRules.values)),
        ]
        triggers = [audited(), changes_catalog()]

    def __str__(self) -> str:
        return self.name


class GatewayKey(models.Model):
    """What a key stands for: a gateway and the environment whose rules it takes. Rotating keeps both."""

    key = models.OneToOneField(ApiKey, primary_key=True, on_delete=models.PROTECT, related_name="gateway_key")
    gateway = models.ForeignKey(Gateway, on_delete=models.PROTECT, related_name="keys")
    environment = models.CharField(max_length=64, default="production", validators=[NAME])

    class Meta:
        triggers = [audited()]

    def __str__(self) -> str:
        return f"key {self.pk}"


class HourWindow(models.Model):
    """Hours of weekdays in a zone, such as a provider's off-peak: [starts, ends), past midnight if ends <= starts."""

    name = models.CharField(max_length=64)
    zone = models.CharField(max_length=64, default="UTC")
    weekdays = ArrayField(models.PositiveSmallIntegerField(), default=list)  # 0 is Monday; the day the window starts on
    starts = models.TimeField()
    ends = models.TimeField()

    class Meta:
        constraints = [models.UniqueConstraint(name="catalog_hourwindow_once", fields=["name"])]
        triggers = [
            audited(),
            changes_catalog(),
            pgtrigger.Protect(name="kept", operation=pgtrigger.Delete | pgtrigger.Update),
        ]

    def __str__(self) -> str:
        return self.name


class Contract(models.Model):
    """Negotiated terms for a provider, an offering or a gateway: prices of its own, or a discount on list.

    A contract is known by its name: a row says what its discount is over a time, as recorded over a time, and prices of
    its own hang on whichever row was there first.
    """

    name = models.CharField(max_length=128)
    provider = models.ForeignKey(Provider, null=True, blank=True, on_delete=models.PROTECT)
    offering = models.ForeignKey(Offering, null=True, blank=True, on_delete=models.PROTECT)
    gateway = models.ForeignKey(Gateway, null=True, blank=True, on_delete=models.PROTECT)
    discount_percent = models.DecimalField(max_digits=7, decimal_places=4, null=True, blank=True)
    valid = DateTimeRangeField()
    recorded = DateTimeRangeField()
    note = models.TextField(blank=True)
    approved_by = models.CharField(max_length=254, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="catalog_contract_one_scope",
                condition=(
                    Q(provider__isnull=False, offering__isnull=True, gateway__isnull=True)
                    | Q(provider__isnull=True, offering__isnull=False, gateway__isnull=True)
                    | Q(provider__isnull=True, offering__isnull=True, gateway__isnull=False)
                ),
            ),
            models.CheckConstraint(
                name="catalog_contract_discount_in_range",
                condition=Q(discount_percent__isnull=True) | Q(discount_percent__gte=0, discount_percent__lte=100),
            ),
            no_overlap("catalog_contract_one_at_a_time", same_text="name", ranges=["valid", "recorded"]),
            models.CheckConstraint(name="catalog_contract_valid_not_empty", condition=Q(valid__isempty=False)),
            models.CheckConstraint(name="catalog_contract_recorded_not_empty", condition=Q(recorded__isempty=False)),
        ]
        triggers = [audited(), changes_catalog()]

    def __str__(self) -> str:
        return f"#{self.pk} {self.name}"


class PriceSeries(models.Model):
    """What a price is for. Empty columns say: any, or the ordinary one; without a contract it is the list price.

    A context tier is a cliff: where a request's input passes `context_over` tokens (reaches it, where inclusive), all
    of the request is priced with the series of that tier.
    """

    provider = models.ForeignKey(Provider, on_delete=models.PROTECT)
    model = models.ForeignKey(Model, on_delete=models.PROTECT)
    meter = models.CharField(max_length=16, choices=Meter.choices)
    context_over = models.PositiveIntegerField(null=True, blank=True)
    context_inclusive = models.BooleanField(default=False)
    service_tier = models.CharField(max_length=16, null=True, blank=True)  # batch, flex, priority
    region = models.CharField(max_length=32, null=True, blank=True)
    hour_window = models.ForeignKey(HourWindow, null=True, blank=True, on_delete=models.PROTECT)
    contract = models.ForeignKey(Contract, null=True, blank=True, on_delete=models.PROTECT)
    currency = models.CharField(max_length=3, default="USD")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="catalog_series_once",
                fields=[
                    "provider",
                    "model",
                    "meter",
                    "context_over",
                    "service_tier",
                    "region",
                    "hour_window",
                    "contract",
                ],
                nulls_distinct=False,
            ),
            models.CheckConstraint(name="catalog_series_usd_only", condition=Q(currency="USD")),
            models.CheckConstraint(name="catalog_series_meter_known", condition=Q(meter__in=Meter.values)),
        ]
        verbose_name_plural = "price series"
        triggers = [audited(), changes_catalog()]

    def __str__(self) -> str:
        return f"#{self.pk} {self.meter}"


class Price(models.Model):
    """USD per million units of a series' meter, over the time it is valid, as recorded over a time of ours.

    A correction closes `recorded` of the row it replaces and adds a row; closing is the only change the database lets
    through. The row with an open `recorded` is what we hold true now.
    """

    series = models.ForeignKey(PriceSeries, on_delete=models.PROTECT, related_name="prices")
    usd_per_1m = models.DecimalField(**PRICE)
    valid = DateTimeRangeField()
    recorded = DateTimeRangeField()
    source = models.CharField(max_length=64)  # contract, provider's page, genai-prices, ...
    source_version = models.CharField(max_length=64, blank=True)
    source_url = models.CharField(max_length=500, blank=True)
    note = models.TextField(blank=True)
    entered_by = models.CharField(max_length=254)
    approved_by = models.CharField(max_length=254)

    class Meta:
        constraints = [
            no_overlap("catalog_price_one_at_a_time", same="series", ranges=["valid", "recorded"]),
            models.CheckConstraint(name="catalog_price_not_negative", condition=Q(usd_per_1m__gte=0)),
            models.CheckConstraint(name="catalog_price_valid_not_empty", condition=Q(valid__isempty=False)),
            models.CheckConstraint(name="catalog_price_recorded_not_empty", condition=Q(recorded__isempty=False)),
        ]
        triggers = [
            audited(),
            changes_catalog(),
            no_truncate("catalog_price_all"),
            pgtrigger.Protect(name="catalog_price_kept", operation=pgtrigger.Delete),
            pgtrigger.Trigger(
                name="catalog_price_closes_only",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                func="""
                IF (to_jsonb(NEW) - 'recorded') IS DISTINCT FROM (to_jsonb(OLD) - 'recorded')
                   OR lower(NEW.recorded) IS DISTINCT FROM lower(OLD.recorded)
                   OR NOT upper_inf(OLD.recorded) OR upper_inf(NEW.recorded) THEN
                    RAISE EXCEPTION 'UPDATE of % is refused: closing what was recorded is all that may change',
                        TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
                END IF;
                RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.usd_per_1m} USD per 1M"


class AmendmentKind(models.TextChoices):
    """What was changed for the past."""

    PRICES = "prices", "prices"
    CONTRACT = "contract", "contract"
    TIER = "tier", "tier"
    OFFERING = "offering", "name of a model"
    USE_CASE = "use_case", "use case"
    TEAM = "team", "team"
    USE_CASE_TEAM = "use_case_team", "team of a use case"


class Amendment(models.Model):
    """A change to what held in the past, written in the change's own transaction.

    Whoever keeps books by the catalogue reads these rows and restates what is concerned: the catalogue itself knows no
    usage. The ids say what calls are concerned, over [starts_at, ends_at); null and empty say any.
    """

    kind = models.CharField(max_length=16, choices=AmendmentKind.choices)
    summary = models.CharField(max_length=300)  # what was changed, in words
    offerings = ArrayField(models.BigIntegerField(), default=list)
    use_case_id = models.BigIntegerField(null=True)
    team_id = models.BigIntegerField(null=True)
    gateway_id = models.BigIntegerField(null=True)
    into_id = models.BigIntegerField(null=True)  # what use case, team or offering it becomes
    starts_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)
    by = models.CharField(max_length=254)
    at = models.DateTimeField()

    class Meta:
        triggers = append_only("catalog_amendment")

    def __str__(self) -> str:
        return f"#{self.pk} {self.kind}"


class SourceTable(models.Model):
    """The newest table that was read from a source of prices: others are compared with it, and shrinking is seen."""

    source = models.CharField(max_length=64)  # genai-prices, litellm, csv
    version = models.CharField(max_length=64, blank=True)
    digest = models.CharField(max_length=64)  # SHA-256 of what was read, in hexadecimal
    models_count = models.PositiveIntegerField()
    quotes = models.JSONField()  # {"gpt-5.5@openai": {"uncached_input": "5"}}: USD per 1M in force, ordinary tier only
    content = models.BinaryField(null=True)  # LiteLLM's own, compressed: its proxies fetch it from us with our prices
    read_at = models.DateTimeField()
    read_by = models.CharField(max_length=254)

    class Meta:
        constraints = [models.UniqueConstraint(name="catalog_sourcetable_once", fields=["source"])]

    def __str__(self) -> str:
        return self.source


class PriceImport(models.Model):
    """One reading of a source that brought proposals; what it says of each offering waits for a person."""

    source = models.CharField(max_length=64)
    version = models.CharField(max_length=64, blank=True)
    file_name = models.CharField(max_length=200, blank=True)
    digest = models.CharField(max_length=64)
    models_count = models.PositiveIntegerField()
    problems = models.JSONField(default=list)  # [{"name": "sonar", "problem": "..."}]: what could not be read
    by = models.CharField(max_length=254)
    at = models.DateTimeField()

    class Meta:
        triggers = [audited()]

    def __str__(self) -> str:
        return f"#{self.pk} {self.source}"


class ProposalKind(models.TextChoices):
    NEW = "new", "new"
    CHANGED = "changed", "changed"
    GONE = "gone", "gone"
    DISPUTED = "disputed", "sources disagree"


class ProposalState(models.TextChoices):
    OPEN = "open", "open"
    ACCEPTED = "accepted", "accepted"
    REJECTED = "rejected", "rejected"
    REPLACED = "replaced", "replaced by a newer reading"


class PriceProposal(models.Model):
    """What an import says of one offering, beside what the book says; it prices nothing before it is accepted."""

    of_import = models.ForeignKey(PriceImport, on_delete=models.PROTECT, related_name="proposals")
    source = models.CharField(max_length=64)  # the import's, beside it so that the newest of a source is found
    kind = models.CharField(max_length=8, choices=ProposalKind.choices)
    offering_name = models.CharField(max_length=193)
    # Null where the catalogue does not know it.
    offering = models.ForeignKey(Offering, null=True, blank=True, on_delete=models.PROTECT)
    lines = models.JSONField()  # see rules/proposed: the series, its price in the book, in the table, in other tables
    disputed = models.BooleanField(default=False)  # another source says otherwise by more than 1 per cent
    state = models.CharField(max_length=8, choices=ProposalState.choices, default=ProposalState.OPEN)
    settled_by = models.CharField(max_length=254, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="catalog_proposal_kind_known", condition=Q(kind__in=ProposalKind.values)),
            models.CheckConstraint(name="catalog_proposal_state_known", condition=Q(state__in=ProposalState.values)),
            models.UniqueConstraint(
                name="catalog_proposal_open_once", fields=["source", "offering_name"], condition=Q(state="open")
            ),
        ]
        indexes = [
            # The proposals of one import, a page at a time.
            models.Index(name="catalog_proposal_by_import", fields=["of_import", "offering_name"]),
        ]
        # Not audited: thousands come with one import, each says who settled it, and prices that come of one are.

    def __str__(self) -> str:
        return f"#{self.pk} {self.offering_name}"
