"""State revisions: what gateways are held to besides the rules, written down whenever it differs."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from routing.models import Environment, StateRevision
from routing.rules import document
from routing.selectors import state


@transaction.atomic
def renew(*, environment: Environment, at: datetime) -> StateRevision | None:
    """Append a state revision if what gateways are held to, or the version they run, is not what the last one says.

    Takes part in the caller's transaction. The environment's row is locked before the state is read, so that revisions
    rise in the order in which they hold. Returns None where nothing differs; safe to repeat and to race.
    """
    held = Environment.objects.select_for_update().get(pk=environment.pk)
    now = document.dumps(state.of(environment=held.name, at=at))
    last = StateRevision.objects.filter(environment=held, revision=held.state_revision).first()
    if last is not None and bytes(last.canonical) == now and last.version == held.live_version:
        return None
    # Clocks of two processes may differ by a little; a revision never holds from before the one it follows.
    holds_from = at if last is None else max(at, last.holds_from)
    revision = StateRevision.objects.create(
        environment=held,
        revision=held.state_revision + 1,
        version=held.live_version,
        holds_from=holds_from,
        canonical=now,
    )
    Environment.objects.filter(pk=held.pk).update(state_revision=revision.revision)
    return revision


def renew_all(*, at: datetime) -> int:
    """Bring every environment's state up to date, each in a transaction; returns how many new revisions that took.

    Safe to repeat, and for two processes at once. Within a caller's transaction it takes part in that.
    """
    environments = Environment.objects.order_by("name")
    return sum(renew(environment=environment, at=at) is not None for environment in environments)
