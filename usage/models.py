"""Receipts, event keys, the ledger, rollups.

The ledger and the rollups are partitioned tables made by SQL in migrations; the models here describe them for reading.
Whatever is stamped on an entry is an identifier without a database constraint: the rows they name are never deleted,
and a check per entry and column would cost more than the rest of the booking.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField, DateTimeRangeField
from django.db import models
from django.db.models import F, Q

from catalog.models import Gateway, Offering, Team, Tier, UseCase, changes_catalog
from core.models import check_zone
from core.money import COST, SUM
from core.ranges import no_overlap
from core.triggers import append_only, audited

LATENCY_BUCKETS = 16


class EntryKind(models.IntegerChoices):
    USAGE = 1, "usage"
    REVERSAL = 2, "reversal"
    ADJUSTMENT = 3, "adjustment"


class Status(models.IntegerChoices):
    OK = 1, "ok"
    ERROR = 2, "error"
    BLOCKED = 3, "blocked"
    CACHE_HIT = 4, "cache_hit"
    USAGE_MISSING = 5, "usage_missing"


class Unpriced(models.IntegerChoices):
    """Why an entry has no cost. Zero says it has one."""

    PRICED = 0, "priced"
    NO_PRICE = 1, "no price for the offering"
    METER_WITHOUT_PRICE = 2, "a meter that was used has no price"
    NOT_COUNTED = 3, "the gateway gave no token counts"
    UNKNOWN_CONTEXT = 4, "a service tier or region that has no price"


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


class Receipt(models.Model):
    """A body taken in: its normalised events, and what became of them. Prompts never get this far."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="receipts")
    environment = models.CharField(max_length=64)
    format = models.CharField(max_length=32)
    state = models.CharField(max_length=8, choices=ReceiptState.choices, default=ReceiptState.PENDING)
    received_at = models.DateTimeField()
    # msgpack of usage.events.Event, zstd; emptied by retention once done.
    events = models.BinaryField(null=True)
    event_count = models.PositiveIntegerField()
    rejected = models.JSONField(default=list)  # [{"index": 3, "error": "..."}], what the edge refused
    booked = models.PositiveIntegerField(default=0)
    duplicates = models.PositiveIntegerField(default=0)
    conflicts = models.PositiveIntegerField(default=0)
    quarantined = models.PositiveIntegerField(default=0)
    shadowed = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    try_after = models.DateTimeField()
    error = models.TextField(blank=True)
    done_at = models.DateTimeField(null=True)

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
        ]
        indexes = [
            # The next ones to book, oldest first, and how much waits.
            models.Index(name="usage_receipt_pending", fields=["id"], condition=Q(state=ReceiptState.PENDING)),
            # Freshness: a source's last receipt.
            models.Index(name="usage_receipt_newest", fields=["source", "-received_at"]),
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

    class Meta:
        constraints = [
            models.CheckConstraint(name="usage_heldevent_reason_known", condition=Q(reason__in=HeldReason.values)),
            models.UniqueConstraint(name="usage_heldevent_once", fields=["source", "reason", "event_id", "content"]),
        ]
        indexes = [models.Index(name="usage_heldevent_open", fields=["-id"], condition=Q(settled_at__isnull=True))]

    def __str__(self) -> str:
        return f"#{self.pk} {self.reason}"


class Month(models.Model):
    """A month of the organisation's, as the instants it had when it was closed."""

    label = models.DateField()  # its first day
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    zone = models.CharField(max_length=64, validators=[check_zone])
    closed_at = models.DateTimeField()
    closed_by = models.CharField(max_length=254)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="usage_month_closed_once", fields=["label"]),
            models.CheckConstraint(name="usage_month_ordered", condition=Q(starts_at__lt=F("ends_at"))),
            models.CheckConstraint(name="usage_month_over_when_closed", condition=Q(closed_at__gte=F("ends_at"))),
        ]
        triggers = [audited(), changes_catalog(), *append_only("usage_month")]

    def __str__(self) -> str:
        return f"{self.label:%Y-%m}"


class Rate(models.Model):
    """What entries were priced with: one price per meter, interned. Never changes, so an entry can name it."""

    digest = models.BinaryField(max_length=16)
    # {"output": {"price": 17, "usd_per_1m": "30"}, ...}, by meter; "contract" beside them, see interning.content_of
    prices = models.JSONField()
    contract_id = models.BigIntegerField(null=True)
    discount_percent = models.DecimalField(max_digits=7, decimal_places=4, null=True)

    class Meta:
        db_table = "usage_rate"
        constraints = [models.UniqueConstraint(name="usage_rate_once", fields=["digest"])]
        triggers = append_only("usage_rate")

    def __str__(self) -> str:
        return f"#{self.pk}"


class RequestContext(models.Model):
    """A request context as a gateway saw it, interned: replay decides each distinct one once."""

    digest = models.BinaryField(max_length=16)
    content = models.JSONField()

    class Meta:
        db_table = "usage_context"
        constraints = [models.UniqueConstraint(name="usage_context_once", fields=["digest"])]
        triggers = append_only("usage_context")

    def __str__(self) -> str:
        return f"#{self.pk}"


PRICE_ARRIVED = "price_arrived"  # the kind of restatement, and of job, that no amendment asked for


class Restatement(models.Model):
    """Why and by whom the past was booked anew: figures before and after. Written when the work is done."""

    kind = models.CharField(max_length=32)  # price_arrived, price_corrected, merged, ...
    reason = models.TextField()
    by = models.CharField(max_length=254)
    at = models.DateTimeField()
    subject = models.JSONField()
    before = models.JSONField()  # {"entries": 12, "cost_usd": "1.20", "unpriced_tokens": 9000}
    after = models.JSONField()
    job_id = models.BigIntegerField(null=True)

    class Meta:
        triggers = append_only("usage_restatement")

    def __str__(self) -> str:
        return f"#{self.pk} {self.kind}"


class Correction(models.Model):
    """An amendment of the catalogue that usage has taken up, and the job that restates what it concerns."""

    amendment_id = models.BigIntegerField()  # catalog's; not a foreign key, so that nothing in either holds the other
    job_id = models.BigIntegerField()
    taken_up_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="usage_correction_once", fields=["amendment_id"]),
            models.UniqueConstraint(name="usage_correction_job_once", fields=["job_id"]),
        ]
        triggers = append_only("usage_correction")

    def __str__(self) -> str:
        return f"#{self.pk} of amendment {self.amendment_id}"


class Metered(models.Model):
    """The disjoint meters, in the order of the tables' columns. A reversal carries them negative."""

    uncached_input_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_5m_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    audio_input_tokens = models.BigIntegerField(default=0)
    audio_output_tokens = models.BigIntegerField(default=0)
    image_input_tokens = models.BigIntegerField(default=0)
    image_output_tokens = models.BigIntegerField(default=0)
    requests = models.BigIntegerField(default=0)
    web_searches = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class Entry(Metered):
    """One line of the ledger: append-only, partitioned by months of `booked_at`, distributed by use case."""

    pk = models.CompositePrimaryKey("use_case", "booked_at", "id")
    use_case = models.ForeignKey(UseCase, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    booked_at = models.DateTimeField()
    id = models.BigIntegerField()
    kind = models.SmallIntegerField(choices=EntryKind.choices)
    occurred_at = models.DateTimeField()
    source = models.ForeignKey(Source, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    gateway = models.ForeignKey(Gateway, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    environment = models.CharField(max_length=64)
    team = models.ForeignKey(Team, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    offering = models.ForeignKey(Offering, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    tier = models.SmallIntegerField(choices=Tier.choices)
    status = models.SmallIntegerField(choices=Status.choices)
    requested_model = models.CharField(max_length=193)
    reasoning_tokens = models.BigIntegerField(null=True)
    counted = models.BooleanField()
    service_tier = models.CharField(max_length=16)
    cost_usd = models.DecimalField(**COST, null=True)
    list_cost_usd = models.DecimalField(**COST, null=True)
    avoided_usd = models.DecimalField(**COST)
    reported_cost_usd = models.DecimalField(**COST, null=True)
    rate_id = models.BigIntegerField(null=True)
    unpriced = models.SmallIntegerField(choices=Unpriced.choices)
    latency_ms = models.IntegerField(null=True)
    task = models.CharField(max_length=64)
    context_id = models.BigIntegerField(null=True)
    sticky_key = models.CharField(max_length=200)
    user_key = models.CharField(max_length=200)
    rules_version = models.IntegerField()
    state_revision = models.BigIntegerField()
    rule = models.CharField(max_length=128)
    reason = models.CharField(max_length=32)
    fallback_index = models.SmallIntegerField()
    call_group = models.CharField(max_length=200)
    tags = models.JSONField(null=True)
    flags = ArrayField(models.CharField(max_length=32), null=True)
    event_id = models.CharField(max_length=200)
    reported_model = models.CharField(max_length=258)
    receipt_id = models.BigIntegerField(null=True)
    corrects_use_case_id = models.BigIntegerField(null=True)
    corrects_booked_at = models.DateTimeField(null=True)
    corrects_id = models.BigIntegerField(null=True)
    correction_of = models.DateField(null=True)
    restatement_id = models.BigIntegerField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.pk}"


class LedgerEntry(Entry):
    """The ledger: the truth that every total derives from."""

    class Meta:
        db_table = "ledger"
        managed = False


class UnsummedEntry(Entry):
    """Shadow and audit entries: the ledger's columns, read by no rollup, counter or total."""

    class Meta:
        db_table = "ledger_unsummed"
        managed = False


class Summed(Metered):
    """The measures of a rollup, all sums. A reversal subtracts."""

    reasoning_tokens = models.BigIntegerField(default=0)
    cost_usd = models.DecimalField(**SUM, default=0)
    list_cost_usd = models.DecimalField(**SUM, default=0)
    avoided_usd = models.DecimalField(**SUM, default=0)
    reported_cost_usd = models.DecimalField(**SUM, default=0)
    compared_cost_usd = models.DecimalField(**SUM, default=0)  # ours, of entries with a cost of both
    compared_list_usd = models.DecimalField(**SUM, default=0)  # ours at list price, which gateways go by
    compared_reported_usd = models.DecimalField(**SUM, default=0)  # the gateways', of the same
    unpriced_tokens = models.BigIntegerField(default=0)
    unpriced_requests = models.BigIntegerField(default=0)
    uncounted_requests = models.BigIntegerField(default=0)
    fallback_requests = models.BigIntegerField(default=0)
    latency_ms = models.BigIntegerField(default=0)
    latency_histogram = ArrayField(models.BigIntegerField(), size=LATENCY_BUCKETS)

    class Meta:
        abstract = True


class Dimensions(models.Model):
    """What rollups can be asked by. Never null: 0 and the empty text say "none"."""

    use_case = models.ForeignKey(UseCase, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    offering = models.ForeignKey(Offering, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    gateway = models.ForeignKey(Gateway, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    tier = models.SmallIntegerField(choices=Tier.choices)
    status = models.SmallIntegerField(choices=Status.choices)
    rules_version = models.IntegerField()
    correction_of = models.IntegerField()  # the closed month as 202610; 0 where it is no correction
    environment = models.CharField(max_length=64)
    rule = models.CharField(max_length=128)
    reason = models.CharField(max_length=32)
    task = models.CharField(max_length=64)
    requested_model = models.CharField(max_length=193)

    class Meta:
        abstract = True


class Rollup15Min(Dimensions, Summed):
    """Sums per UTC quarter hour of `booked_at`; every zone's offset is a multiple of it."""

    pk = models.CompositePrimaryKey(
        "use_case", "bucket", "offering", "team", "gateway", "tier", "status", "rules_version", "correction_of",
        "environment", "rule", "reason", "task", "requested_model",
    )  # fmt: skip
    bucket = models.DateTimeField()

    class Meta:
        db_table = "rollup_15min"
        managed = False

    def __str__(self) -> str:
        return f"{self.pk}"


class RollupDay(Dimensions, Summed):
    """Sums per day of `booked_at` in the organisation's zone."""

    pk = models.CompositePrimaryKey(
        "use_case", "day", "offering", "team", "gateway", "tier", "status", "rules_version", "correction_of",
        "environment", "rule", "reason", "task", "requested_model",
    )  # fmt: skip
    day = models.DateField()

    class Meta:
        db_table = "rollup_day"
        managed = False

    def __str__(self) -> str:
        return f"{self.pk}"


class SummedSmall(models.Model):
    """What tag and user rollups keep."""

    requests = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cost_usd = models.DecimalField(**SUM, default=0)
    unpriced_tokens = models.BigIntegerField(default=0)
    uncounted_requests = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class RollupDayTag(SummedSmall):
    """Sums per day and value of a declared tag."""

    pk = models.CompositePrimaryKey("use_case", "day", "tag", "value", "offering", "team", "gateway", "tier", "status")
    use_case = models.ForeignKey(UseCase, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    day = models.DateField()
    tag = models.CharField(max_length=64)
    value = models.CharField(max_length=256)
    offering = models.ForeignKey(Offering, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    gateway = models.ForeignKey(Gateway, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    tier = models.SmallIntegerField(choices=Tier.choices)
    status = models.SmallIntegerField(choices=Status.choices)

    class Meta:
        db_table = "rollup_day_tag"
        managed = False

    def __str__(self) -> str:
        return f"{self.pk}"


class RollupDayUser(SummedSmall):
    """Sums per day and user; folded to the dearest 1000 and the others two days later."""

    pk = models.CompositePrimaryKey("use_case", "day", "user_key")
    use_case = models.ForeignKey(UseCase, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    day = models.DateField()
    user_key = models.CharField(max_length=200)

    class Meta:
        db_table = "rollup_day_user"
        managed = False

    def __str__(self) -> str:
        return f"{self.pk}"
