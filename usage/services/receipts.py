"""What people decide about a body that could not be booked."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from core.errors import Conflict, Invalid, NotFound
from core.services import audit
from usage.models import Receipt, ReceiptState
from usage.services import intake

MOST_AT_ONCE = 500
REASON_CHARACTERS = 200


class NoSuchReceipt(NotFound):
    """There is no receipt with this number."""


class NotSetAside(Conflict):
    """The receipt waits in line or is booked; nothing changed."""


@transaction.atomic(durable=True)
def try_again(*, receipt_id: int, by: str, at: datetime, reason: str = "") -> None:
    """Put a receipt that was set aside, or given up, back in line. The edge nudges `usage.tasks.BOOK`.

    Of two who do so at once one does it. What it held counts once, as anything that comes late does.

    Raises:
        NoSuchReceipt, NotSetAside: nothing changed.
    """
    audit.acting(by=by, reason=reason)
    _hold(receipt_id)
    given_up = Receipt.objects.filter(pk=receipt_id, state=ReceiptState.FAILED, given_up_at__isnull=False)
    given_up.update(given_up_at=None, given_up_by="", given_up_because="")
    if not intake.retry(receipt_id=receipt_id, at=at):
        raise _why_not(receipt_id)


@transaction.atomic(durable=True)
def try_all_again(*, by: str, at: datetime, gateway_id: int | None = None) -> int:
    """Put receipts that are set aside back in line, the oldest 500 at most; says how many. Given up ones stay."""
    audit.acting(by=by)
    found = Receipt.objects.filter(state=ReceiptState.FAILED, given_up_at__isnull=True)
    if gateway_id is not None:
        found = found.filter(source__gateway=gateway_id)
    ids = found.order_by("id").values_list("id", flat=True)[:MOST_AT_ONCE]
    return sum(intake.retry(receipt_id=receipt_id, at=at) for receipt_id in list(ids))


@transaction.atomic(durable=True)
def give_up(*, receipt_id: int, reason: str, by: str, at: datetime) -> None:
    """Say that a receipt that was set aside can never be booked: nobody is asked about it any more.

    Its events stay with it, in no total, and it can still be tried again. Of two who do so at once the first stays
    named.

    Raises:
        Invalid: the reason is missing or too long.
        NoSuchReceipt, NotSetAside: nothing changed.
    """
    reason = reason.strip()
    if not reason or len(reason) > REASON_CHARACTERS:
        raise Invalid("Say why it is given up.", [("reason", f"1 to {REASON_CHARACTERS} characters.")])
    audit.acting(by=by, reason=reason)
    _hold(receipt_id)
    set_aside = Receipt.objects.filter(pk=receipt_id, state=ReceiptState.FAILED)
    open_ones = set_aside.filter(given_up_at__isnull=True)
    if not open_ones.update(given_up_at=at, given_up_by=by, given_up_because=reason) and not set_aside.exists():
        raise _why_not(receipt_id)


def _hold(receipt_id: int) -> None:
    """Lock the receipt, so that what is decided about it in two steps is decided at once."""
    list(Receipt.objects.filter(pk=receipt_id).select_for_update().values_list("id"))


def _why_not(receipt_id: int) -> Exception:
    state = Receipt.objects.filter(pk=receipt_id).values_list("state", flat=True).first()
    if state is None:
        return NoSuchReceipt(f"There is no receipt {receipt_id}.")
    if state == ReceiptState.DONE:
        return NotSetAside(f"Receipt {receipt_id} is booked.")
    return NotSetAside(f"Receipt {receipt_id} is not set aside: it waits to be booked.")
