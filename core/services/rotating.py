"""Writing all stored secrets anew under the first key, so that an older key can go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Model

from core import secrets
from core.services.audit import acting

_BATCH = 100


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What became of some rows of one column."""

    table: str
    column: str
    last_id: int
    rewritten: int
    already: int  # under the first key before
    unreadable: tuple[int, ...]  # ids: encrypted with a key that is not configured, or damaged; left as they are


def rotate_all(*, by: str, batch: int = _BATCH) -> Iterator[Batch]:
    """Encrypt every stored secret with the first key, batch by batch, each in a transaction of its own.

    Safe to break off and to repeat: what is under the first key already is left alone. A secret that is stored while
    this runs is safe too, once every process has the new key in front; repeat it if one may not have had.

    Raises:
        secrets.KeysMissing: no key, or a key that is not one.
    """
    for model, column in secrets.columns:
        last_id = 0
        while (done := _rotate(model, column, after=last_id, by=by, batch=batch)) is not None:
            yield done
            last_id = done.last_id


@transaction.atomic(durable=True)
def _rotate(model: type[Model], column: str, *, after: int, by: str, batch: int) -> Batch | None:
    acting(by=by, reason="secrets under another key")
    held = model._default_manager.filter(pk__gt=after, **{f"{column}__isnull": False})
    rows = list(held.select_for_update(no_key=True).order_by("pk").values_list("pk", column)[:batch])
    if not rows:
        return None
    rewritten, unreadable = 0, []
    for pk, token in rows:
        if secrets.is_under_first_key(token):
            continue
        try:
            fresh = secrets.rotate(token)
        except secrets.Unreadable:
            unreadable.append(pk)
            continue
        rewritten += model._default_manager.filter(pk=pk).update(**{column: fresh})
    return Batch(
        table=model._meta.db_table,
        column=column,
        last_id=rows[-1][0],
        rewritten=rewritten,
        already=len(rows) - rewritten - len(unreadable),
        unreadable=tuple(unreadable),
    )
