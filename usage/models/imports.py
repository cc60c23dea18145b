"""Files of past events: read once into normalised parts, looked at, confirmed, and then booked like any body."""

from __future__ import annotations

from django.contrib.postgres.fields import DateTimeRangeField
from django.db import models
from django.db.models import F, Q

from catalog.models import Gateway
from usage.models.receipts import Receipt, Source


class ImportState(models.TextChoices):
    READING = "reading"  # the file is being read; what broke off goes on where it stopped
    READY = "ready"  # read to its end; waits for somebody who confirms what it would book
    BOOKING = "booking"
    DONE = "done"
    FAILED = "failed"
    DROPPED = "dropped"  # given up before anything was booked


class UsageImport(models.Model):
    """A file of events on its way into the ledger, as a source of its own with a range of event times."""

    gateway = models.ForeignKey(Gateway, on_delete=models.PROTECT, related_name="imports")
    source = models.OneToOneField(Source, null=True, on_delete=models.PROTECT, related_name="import_of")
    environment = models.CharField(max_length=64, default="production")
    format = models.CharField(max_length=32)
    options = models.JSONField(default=dict)  # such as a CSV file's column mapping
    file_name = models.CharField(max_length=200)
    sha256 = models.BinaryField(max_length=32)  # of the file as it was given: the same file is the same import
    state = models.CharField(max_length=8, choices=ImportState.choices, default=ImportState.READING)
    position = models.BigIntegerField(default=0)  # bytes of the (decompressed) file that were read
    items = models.BigIntegerField(default=0)  # of the file that were read: lines, rows, elements
    events = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)  # items that cannot become events; the first are on the parts
    first_at = models.DateTimeField(null=True)  # of its events
    last_at = models.DateTimeField(null=True)
    summary = models.JSONField(default=dict)  # what it holds, by use case and model, shown before it is confirmed
    covers = DateTimeRangeField(null=True)  # as confirmed
    audit = models.BooleanField(default=False)  # kept, and never in a sum
    note = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField()
    started_by = models.CharField(max_length=254)
    confirmed_at = models.DateTimeField(null=True)
    confirmed_by = models.CharField(max_length=254, blank=True)
    finished_at = models.DateTimeField(null=True)
    dropped_by = models.CharField(max_length=254, blank=True)
    error = models.TextField(blank=True)
    job_id = models.BigIntegerField(null=True)

    class Meta:
        db_table = "usage_import"
        constraints = [
            models.CheckConstraint(name="usage_import_state_known", condition=Q(state__in=ImportState.values)),
            models.CheckConstraint(
                name="usage_import_booked_under_a_source",
                condition=~Q(state__in=[ImportState.BOOKING, ImportState.DONE])
                | Q(source__isnull=False, covers__isnull=False, confirmed_at__isnull=False),
            ),
            models.CheckConstraint(
                name="usage_import_times_ordered", condition=Q(first_at__isnull=True) | Q(first_at__lte=F("last_at"))
            ),
            models.CheckConstraint(
                name="usage_import_dropped_before_booking",
                condition=~Q(state=ImportState.DROPPED) | Q(source__isnull=True),
            ),
            # The same file twice for one gateway is one import, unless the first was given up.
            models.UniqueConstraint(
                name="usage_import_file_once", fields=["gateway", "sha256"], condition=~Q(state=ImportState.DROPPED)
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.file_name}"


class ImportPart(models.Model):
    """Some thousand events of an import, normalised: nothing else of the file is kept."""

    usage_import = models.ForeignKey(UsageImport, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    events = models.BinaryField(null=True)  # as a receipt's; emptied once they are in one
    event_count = models.PositiveIntegerField()
    rejected = models.JSONField(default=list)  # [{"index": 3, "error": "..."}], index within the file
    receipt = models.OneToOneField(Receipt, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        db_table = "usage_importpart"
        constraints = [models.UniqueConstraint(name="usage_importpart_once", fields=["usage_import", "number"])]

    def __str__(self) -> str:
        return f"#{self.usage_import_id}/{self.number}"
