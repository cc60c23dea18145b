"""What came in: sources, receipts, what of them was booked, and what was kept without being counted."""

from __future__ import annotations

import pgtrigger
from django.contrib.postgres.fields import DateTimeRangeField
from django.db import models
from django.db.models import F, Func, Q

from catalog.models import Gateway, changes_catalog
from core.ranges import no_overlap
from core.triggers import audited


class SourceKind(models.TextChoices):
    LIVE = "live"
    IMPORT = "import"


class Source(models.Model):
    """Where events come from: a gateway's live stream, or an import into it. Event ids are unique within one."""

    gateway = models.ForeignKey(Gateway, on_delete=models.PROTECT, related_name="sources")
    kind = models.CharField(max_length=8, choices=SourceKind.choices)
    # Of an import: the event times it holds. Live events inside the range of a counted one are shadow.
    covers = DateTimeRangeField(null=True, blank=True)
    audit = models.BooleanField(default=False)  # an import that is kept but never summed
    accounting_format = models.CharField(
        max_length=32, blank=True
    )  # of a live stream: the first seen, by compare-and-set
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)  # an import that takes no more

    class Meta:
        db_table = "usage_source"
        constraints = [
            models.UniqueConstraint(
                name="usage_source_one_live_stream", fields=["gateway"], condition=Q(kind=SourceKind.LIVE)
            ),
            models.CheckConstraint(
                name="usage_source_import_has_range",
                condition=Q(kind=SourceKind.LIVE, covers__isnull=True, audit=False)
                | Q(kind=SourceKind.IMPORT, covers__isnull=False, covers__isempty=False),
            ),
            no_overlap(
                "usage_source_imports_do_not_overlap",
                same="gateway",
                ranges=["covers"],
                where=Q(kind=SourceKind.IMPORT, audit=False),
            ),
        ]
        # Bookings keep sources and closed months in memory together with the catalogue, under its revision.
        triggers = [audited(), changes_catalog()]

    def __str__(self) -> str:
        return f"#{self.pk} {self.kind}"


class ReceiptState(models.TextChoices):
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"  # set aside after several tries; it can be tried again


# What may become of an event instead of being counted, beside being refused or told to be a repeat.
NOT_COUNTED = ("conflicts", "quarantined", "shadowed", "superseded")


def counted_in_part() -> Q:
    """Find receipts of which something was refused or kept without being counted; repeats are in order."""
    found = Q(rejected_count__gt=0)
    for name in NOT_COUNTED:
        found |= Q(**{f"{name}__gt": 0})
    return found


class Receipt(models.Model):
    """A body taken in: its normalised events, and what became of them. Prompts never get this far."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="receipts")
    environment = models.CharField(max_length=64)
    format = models.CharField(max_length=32)
    state = models.CharField(max_length=8, choices=ReceiptState.choices, default=ReceiptState.PENDING)
    received_at = models.DateTimeField()
    first_occurred_at = models.DateTimeField(null=True)  # of its events, by their own word
    last_occurred_at = models.DateTimeField(null=True)
    # msgpack of usage.events.Event, zstd; emptied by retention once done.
    events = models.BinaryField(null=True)
    event_count = models.PositiveIntegerField()
    carried_prompts = models.BooleanField(db_default=False)  # dropped; whoever sends them may not know that she does
    rejected = models.JSONField(default=list)  # [{"index": 3, "error": "..."}], what the edge refused
    rejected_count = models.GeneratedField(
        expression=Func(F("rejected"), function="jsonb_array_length"),
        output_field=models.IntegerField(),
        db_persist=True,
    )
    booked = models.PositiveIntegerField(default=0)
    duplicates = models.PositiveIntegerField(default=0)
    conflicts = models.PositiveIntegerField(default=0)
    quarantined = models.PositiveIntegerField(default=0)
    shadowed = models.PositiveIntegerField(default=0)
    superseded = models.PositiveIntegerField(db_default=0)  # another event counts in their place
    attempts = models.PositiveSmallIntegerField(default=0)
    try_after = models.DateTimeField()
    error = models.TextField(blank=True)
    done_at = models.DateTimeField(null=True)
    # Of one that is set aside for good: it asks for nothing any more, and can still be tried again.
    given_up_at = models.DateTimeField(null=True)
    given_up_by = models.CharField(max_length=254, db_default="")
    given_up_because = models.CharField(max_length=200, db_default="")

    class Meta:
        db_table = "receipt"
        constraints = [
            models.CheckConstraint(name="usage_receipt_state_known", condition=Q(state__in=ReceiptState.values)),
            models.CheckConstraint(
                name="usage_receipt_done_whole",
                condition=~Q(state=ReceiptState.DONE) | Q(done_at__isnull=False),
            ),
            models.CheckConstraint(
                name="usage_receipt_pending_has_events",
                condition=Q(state=ReceiptState.DONE) | Q(events__isnull=False),
            ),
            models.CheckConstraint(
                name="usage_receipt_given_up_whole",
                condition=Q(given_up_at__isnull=True)
                | Q(state=ReceiptState.FAILED) & ~Q(given_up_by="") & ~Q(given_up_because=""),
            ),
        ]
        indexes = [
            # The next ones to book, oldest first, and how much waits.
            models.Index(name="usage_receipt_pending", fields=["id"], condition=Q(state=ReceiptState.PENDING)),
            # A source's last receipts, and what came in a day: summed without a look at the table.
            models.Index(
                name="usage_receipt_newest",
                fields=["source", "-received_at", "-id"],
                include=["event_count", "rejected_count", *NOT_COUNTED],
            ),
            # Those that wait for a person, and those of which not everything counted: few, newest first.
            models.Index(
                name="usage_receipt_set_aside",
                fields=["source", "-received_at", "-id"],
                condition=Q(state=ReceiptState.FAILED),
            ),
            models.Index(
                name="usage_receipt_in_part", fields=["source", "-received_at", "-id"], condition=counted_in_part()
            ),
            # Retention: what of them still holds its events, oldest first.
            models.Index(
                name="usage_receipt_held",
                fields=["done_at"],
                condition=Q(state=ReceiptState.DONE, events__isnull=False),
            ),
        ]
        # Bookings are no news; what people do about a receipt that was set aside is. Not what stood in it.
        triggers = [
            pgtrigger.Trigger(
                name="audited",
                when=pgtrigger.After,
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__state=str(ReceiptState.FAILED)),
                func="PERFORM core_audit_write(TG_TABLE_NAME, TG_OP, to_jsonb(OLD) - '{events,rejected}'::text[], "
                "to_jsonb(NEW) - '{events,rejected}'::text[]); RETURN NULL;",
            )
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.state}"


class EventKey(models.Model):
    """Which events of a source were booked already: the guard of "once". Not partitioned."""

    pk = models.CompositePrimaryKey("source", "digest")
    source = models.ForeignKey(Source, on_delete=models.DO_NOTHING, db_constraint=False)
    digest = models.BinaryField(max_length=16)  # first 16 bytes of SHA-256 of the event id
    content = models.BinaryField(max_length=16)  # of the normalised event without its time
    use_case_id = models.BigIntegerField()
    booked_at = models.DateTimeField()
    entry_id = models.BigIntegerField()
    first_received_at = models.DateTimeField()

    class Meta:
        db_table = "event_key"
        managed = False

    def __str__(self) -> str:
        return f"{self.source_id}/{bytes(self.digest).hex()}"


class HeldReason(models.TextChoices):
    CONFLICT = "conflict", "same id, other content"
    TOO_OLD = "too_old", "more than 35 days older than its receipt"


class HeldEvent(models.Model):
    """An event that was kept but not counted, where people see it."""

    receipt = models.ForeignKey(Receipt, on_delete=models.PROTECT, related_name="held")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="held")
    reason = models.CharField(max_length=16, choices=HeldReason.choices)
    event_id = models.CharField(max_length=200)
    occurred_at = models.DateTimeField()
    event = models.JSONField()  # the normalised event
    content = models.BinaryField(max_length=16)  # its hash: the same doubt is kept once, however often it is sent
    # Of a conflict: the entry that was counted.
    entry_use_case_id = models.BigIntegerField(null=True)
    entry_booked_at = models.DateTimeField(null=True)
    entry_id = models.BigIntegerField(null=True)
    held_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)
    settled_by = models.CharField(max_length=254, blank=True)
    settled_because = models.CharField(max_length=200, blank=True, db_default="")

    class Meta:
        constraints = [
            models.CheckConstraint(name="usage_heldevent_reason_known", condition=Q(reason__in=HeldReason.values)),
            models.UniqueConstraint(name="usage_heldevent_once", fields=["source", "reason", "event_id", "content"]),
        ]
        indexes = [models.Index(name="usage_heldevent_open", fields=["-id"], condition=Q(settled_at__isnull=True))]
        triggers = [
            pgtrigger.Trigger(
                name="audited",
                when=pgtrigger.After,
                operation=pgtrigger.Update,
                func="PERFORM core_audit_write(TG_TABLE_NAME, TG_OP, to_jsonb(OLD) - '{event,content}'::text[], "
                "to_jsonb(NEW) - '{event,content}'::text[]); RETURN NULL;",
            )
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.reason}"
