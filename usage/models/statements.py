"""What providers say was used and what it costs, by day: set beside the ledger, never in a total."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from catalog.models import Gateway
from core.money import COST
from core.triggers import append_only, audited


class StatementFile(models.Model):
    """A provider's export as it was taken in. A later file of the same account takes the place of days it holds too.

    Nothing of an earlier one is deleted: what counts for a day is the newest file that holds it whole and stands.
    """

    format = models.CharField(max_length=32)
    account = models.CharField(max_length=128, blank=True)  # whose bill: an organisation or project, in its own words
    gateway = models.ForeignKey(Gateway, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    file_name = models.CharField(max_length=200)
    sha256 = models.BinaryField(max_length=32)
    first_day = models.DateField()  # UTC days, as providers bill
    last_day = models.DateField()  # included
    partial_days = ArrayField(models.DateField(), default=list)  # of these: held only in part, never compared
    notes = ArrayField(models.CharField(max_length=300), default=list)  # what a reader had to say, as sentences
    lines = models.PositiveIntegerField()
    imported_at = models.DateTimeField()
    imported_by = models.CharField(max_length=254)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.CharField(max_length=254, blank=True)
    withdrawn_why = models.CharField(max_length=200, blank=True)

    class Meta:
        db_table = "usage_statementfile"
        constraints = [
            models.CheckConstraint(name="usage_statementfile_days", condition=Q(first_day__lte=F("last_day"))),
            models.UniqueConstraint(
                name="usage_statementfile_once",
                fields=["format", "account", "sha256"],
                condition=Q(withdrawn_at__isnull=True),
            ),
        ]
        triggers = [audited()]

    def __str__(self) -> str:
        return f"#{self.pk} {self.file_name}"


class ProviderStatement(models.Model):
    """One line of a statement: a UTC day by provider, model and key. Null says that the export does not tell."""

    file = models.ForeignKey(StatementFile, on_delete=models.PROTECT, related_name="statements")
    day = models.DateField()
    provider = models.CharField(max_length=128)
    model = models.CharField(max_length=193, blank=True)
    key = models.CharField(max_length=128, blank=True)
    project = models.CharField(max_length=128, blank=True)
    service_tier = models.CharField(max_length=32, blank=True)
    item = models.CharField(max_length=200, blank=True)  # a cost's line item, in the provider's words
    requests = models.BigIntegerField(null=True)
    input_tokens = models.BigIntegerField(null=True)  # cached included
    cache_read_tokens = models.BigIntegerField(null=True)
    cache_write_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    reasoning_tokens = models.BigIntegerField(null=True)
    web_searches = models.BigIntegerField(null=True)
    cost_usd = models.DecimalField(**COST, null=True)

    class Meta:
        db_table = "provider_statement"
        indexes = [models.Index(name="usage_statement_day", fields=["day", "provider"])]
        triggers = append_only("provider_statement")

    def __str__(self) -> str:
        return f"#{self.pk} {self.day} {self.provider}"
