"""What is remembered of traces, so that one call that several spans report counts once."""

from __future__ import annotations

from django.db import models

from usage.models.receipts import Source


class Trace(models.Model):
    """The calls of a trace that were booked; its spans may arrive in any order, in many bodies.

    Kept as long as event keys: a span that gave way to another has no key of its own to be known by.
    """

    pk = models.CompositePrimaryKey("source", "trace_id")
    source = models.ForeignKey(Source, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    trace_id = models.CharField(max_length=32)  # lower-case hex
    spans = models.BinaryField(default=b"")  # msgpack of usage.rules.traces.Call, of those that count
    touched_at = models.DateTimeField()

    class Meta:
        db_table = "usage_trace"
        indexes = [models.Index(name="usage_trace_age", fields=["touched_at"])]  # pruning

    def __str__(self) -> str:
        return f"{self.source_id}/{self.trace_id}"
