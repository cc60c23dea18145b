"""What the tables of the catalogue stand on: names, who claimed what, and the revision that moves with changes."""

from __future__ import annotations

import re

import pgtrigger
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

NAME_PATTERN = r"^[A-Za-z0-9._:/@-]{1,128}$"

NAME = RegexValidator(re.compile(NAME_PATTERN), "Use letters, digits and . _ : / @ - only, 128 at most.")


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
