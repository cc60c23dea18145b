"""Orders of rules whose targets go by score, as computed here from what offerings cost and how they did of late."""

from __future__ import annotations

from django.db import models

from routing.models.versions import Environment


class Order(models.Model):
    """The order of one rule's targets as gateways get it; it is written anew where it moves, with what it came from."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="orders")
    rule = models.CharField(max_length=128)  # the rule's id, or `default`
    order = models.JSONField()  # names of offerings, the best first
    scores = models.JSONField()  # per offering what it was measured at, and its score: shown to people
    computed_at = models.DateTimeField()
    moved_at = models.DateTimeField()  # since when this has been the order

    class Meta:
        constraints = [models.UniqueConstraint(name="routing_order_once", fields=["environment", "rule"])]

    def __str__(self) -> str:
        return f"#{self.pk} {self.rule}"
