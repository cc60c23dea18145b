"""What is said of a model, whoever serves it."""

from __future__ import annotations

from django.db import transaction

from catalog.models import Model
from catalog.services import turns


@transaction.atomic
def change(
    *, model: Model, lab: str, open_weights: bool, licence: str, context_tokens: int | None, by: str, reason: str = ""
) -> Model:
    """Say who made a model, under what licence, and how many tokens it reads at once (None: not known).

    It prices nothing and holds for all offerings of the model. Repeating writes nothing.
    """
    turns.acting(by=by, reason=reason)
    given = {"lab": lab, "open_weights": open_weights, "licence": licence, "context_tokens": context_tokens}
    model = Model.objects.select_for_update().get(pk=model.pk)
    changed = [name for name, value in given.items() if value != getattr(model, name)]
    for name in changed:
        setattr(model, name, given[name])
    if changed:
        model.save(update_fields=changed)
    return model
