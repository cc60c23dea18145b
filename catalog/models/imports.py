"""Prices that lists from outside propose, and what became of them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from catalog.models.names import Offering
from core.triggers import audited


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
