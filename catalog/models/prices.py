"""The price book: hours, contracts, series and their prices, and amendments of what held in the past."""

from __future__ import annotations

import pgtrigger
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField
from django.db import models
from django.db.models import Q

from catalog.models.common import changes_catalog
from catalog.models.gateways import Gateway
from catalog.models.names import Model, Offering, Provider
from core.money import PRICE
from core.ranges import no_overlap
from core.triggers import append_only, audited, no_truncate


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
