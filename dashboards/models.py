"""What the console itself keeps: views of its pages that somebody named."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from core.triggers import audited


class SavedPage(models.TextChoices):
    """Pages that have their whole state in their address, and so can be saved."""

    SPEND = "spend", "spend"


class SavedView(models.Model):
    """The state of a page under a name. Its owner's alone, or shared with everybody who signs in."""

    page = models.CharField(max_length=16, choices=SavedPage.choices)
    name = models.CharField(max_length=80)
    query = models.CharField(max_length=2000)  # as the page writes its address, behind the question mark
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    shared = models.BooleanField(default=False)
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint("owner", "page", Lower("name"), name="dashboards_savedview_once"),
            models.CheckConstraint(name="dashboards_savedview_page_known", condition=Q(page__in=SavedPage.values)),
            models.CheckConstraint(name="dashboards_savedview_named", condition=~Q(name="")),
        ]
        triggers = [audited()]

    def __str__(self) -> str:
        return self.name
