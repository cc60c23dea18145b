"""Who reports usage and takes rules."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from catalog.models.common import NAME, changes_catalog
from core.models import ApiKey
from core.triggers import audited


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
