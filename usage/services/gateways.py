"""What people decide about a gateway's stream: its settings, and the format that it is counted by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from catalog.rules import gateway_settings
from catalog.services import gateways
from core.errors import Conflict, Invalid
from core.services import audit
from usage.formats import FORMATS
from usage.models import Source, SourceKind
from usage.services import intake


class FormatMoved(Conflict):
    """The format that a stream is counted by is another one by now than whoever asks has seen."""


@transaction.atomic(durable=True)
def change(
    *,
    gateway_id: int,
    settings: Mapping[str, Any],
    by: str,
    at: datetime,
    reason: str = "",
    accounting_format: str | None = None,
    seen_format: str | None = None,
    takes_rules: str | None = None,
) -> bool:
    """Change what is given of a gateway's settings, how it takes rules, and the format that it is counted by.

    Says whether anything changed; repeating it changes nothing. Another format holds for what is booked from then on,
    bodies that wait included; what is booked stays as it is, so calls around that moment which come in both formats may
    count twice or not at all. `seen_format` is the one that whoever asks believes to hold; None does not ask.

    Raises:
        NotFound: there is no such gateway.
        Conflict: the gateway is retired.
        FormatMoved: another format holds than `seen_format`.
        Invalid: something cannot be; all reasons at once. Whatever is raised, nothing is changed.
    """
    audit.acting(by=by, reason=reason.strip())
    problems = gateway_settings.problems(settings)
    if accounting_format is not None:
        problems += _format_problems(gateway_id, accounting_format, reason)
    if problems:
        raise Invalid("The settings cannot be kept as they are.", problems)
    changed = gateways.change_settings(gateway_id=gateway_id, given=settings, by=by, reason=reason.strip())
    if takes_rules is not None:
        taken = gateways.take_rules(gateway_id=gateway_id, how=takes_rules, by=by, reason=reason.strip())
        changed = taken or changed
    if accounting_format is None:
        return changed
    return _count_by(gateway_id=gateway_id, format=accounting_format, seen=seen_format, at=at) or changed


def _format_problems(gateway_id: int, format: str, reason: str) -> list[tuple[str, str]]:
    if format not in FORMATS:
        return [("accounting_format", f"There is no such format; there are {', '.join(sorted(FORMATS))}.")]
    kept = Source.objects.filter(gateway=gateway_id, kind=SourceKind.LIVE).values_list("accounting_format", flat=True)
    if kept.first() not in (None, "", format) and not reason.strip():
        return [("reason", "Say why another format counts from now on.")]
    return []


def _count_by(*, gateway_id: int, format: str, seen: str | None, at: datetime) -> bool:
    """Set the format by compare-and-set: the first body of a gateway may set it at the same moment."""
    source = Source.objects.select_for_update().get(pk=intake.live_source(gateway_id=gateway_id, at=at))
    if seen is not None and source.accounting_format != seen:
        holds = source.accounting_format or "none yet"
        raise FormatMoved(f"The format is {holds} by now, not {seen or 'none'}: look again, and decide.")
    if source.accounting_format == format:
        return False
    source.accounting_format = format
    source.save(update_fields=["accounting_format"])
    return True
