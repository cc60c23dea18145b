"""The outbox at work: what is due is claimed, sent and recorded, whatever dies in between.

# Note [Claim, send, record]
A claim is a transaction of its own that sets `sending`, counts the attempt and leases the row. Sending happens outside
of any transaction, in a thread that touches no database. Recording repeats its condition (still this attempt). If the
process dies between send and record, nobody can know whether the message arrived: the lease runs out, the delivery is
claimed again and its message says "possibly repeated". No other repetition exists.

One delivery of a channel is under way at a time, and a channel that asks for patience rests with all that waits for it,
so a far side that hangs costs the others nothing and itself one attempt per pause. What rested goes first by fewest
attempts: a single message that its channel cannot digest does not hold up the rest.
"""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import DateTimeField, ExpressionWrapper, Q
from django.db.models.functions import Coalesce, Least

from alerts import rules
from alerts.channels import KINDS, Delivered, FailedForGood, Outcome, RetryLater
from alerts.messages import Message, Origin, compose
from alerts.models import AlertComment, AlertState, Channel, Delivery, DeliveryState, Severity
from core import secrets
from core.errors import Conflict, NotFound, TollkeeperError

log = structlog.get_logger(__name__)

# Longer than any attempt: 10 s at the far side, and what a name server takes.
LEASE = timedelta(seconds=120)
# Attempts at once; each is of another channel.
LANES = 16
# While an attempt runs, how long what has just become due may wait.
LOOK_SECONDS = 0.25

_REASON_CHARACTERS = 200
_ANSWER_CHARACTERS = 500


class NoSuchDelivery(NotFound):
    """There is no delivery with this number."""


class NoSuchChannel(NotFound):
    """There is no channel with this number."""


class NotFailed(Conflict):
    """It is on its way, delivered, or was never to be sent; nothing changed."""


class ChannelGone(Conflict):
    """There is no channel in use that it could go to; nothing changed."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One attempt at one delivery that is ours until the lease runs out, with all that it takes to send it."""

    delivery_id: int
    attempt: int
    day_began_at: datetime  # a day later it is given up
    channel_id: int
    kind: str
    config: dict[str, Any]
    secret: str = field(repr=False)
    message: Message
    idempotency_key: UUID
    # Decided before sending: the channel is off, retired or unreadable, or an attempt past the last day was lost.
    settled: Outcome | None = None


def deliver_due(*, at: datetime, limit: int, chance: Callable[[], float] = random.random) -> int:
    """Make up to `limit` attempts at what is due, and at what becomes due while they run; return how many were made.

    Safe to run many times at once: a row is claimed by one. `at` is the beginning; what happens later is dated by
    the time that has passed since. 0 means that nothing is due, or that all of it is under way elsewhere.
    """
    began = time.monotonic()
    started = 0
    running: dict[Future[Outcome], Claim] = {}
    with ThreadPoolExecutor(max_workers=LANES, thread_name_prefix="delivery") as lanes:
        while True:
            room = min(LANES - len(running), limit - started)
            for claim in claim_due(at=_since(at, began), limit=room) if room > 0 else []:
                running[lanes.submit(attempt, claim)] = claim
                started += 1
            if not running:
                return started
            finished, _ = wait(running, timeout=LOOK_SECONDS if room > 0 else None, return_when=FIRST_COMPLETED)
            for future in finished:
                record(running.pop(future), future.result(), at=_since(at, began), chance=chance())


@transaction.atomic(durable=True)
def claim_due(*, at: datetime, limit: int) -> list[Claim]:
    """Take what is due for sending, at most one delivery of each channel and none of a channel that is busy.

    A delivery whose lease ran out is due as well and counts as possibly repeated. 3 queries, 2 where nothing is due.
    """
    with connection.cursor() as cursor:
        # Two that claim at the same moment see of neither that it has made a channel busy: one after the other.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('alerts_claim_due'))")
        cursor.execute(
            """
            WITH due AS MATERIALIZED (
                SELECT pick.id, pick.state
                FROM alerts_channel channel
                CROSS JOIN LATERAL (
                    SELECT d.id, d.state, d.attempts, d.due_at
                    FROM alerts_delivery d
                    WHERE d.channel_id = channel.id
                      AND d.state IN ('waiting', 'sending')
                      AND d.due_at <= %(at)s
                      AND (d.state = 'waiting' OR d.leased_until <= %(at)s)
                      AND NOT EXISTS (
                          SELECT FROM alerts_delivery busy
                          WHERE busy.channel_id = channel.id AND busy.state = 'sending' AND busy.leased_until > %(at)s
                      )
                    ORDER BY d.attempts, d.due_at, d.id
                    LIMIT 1
                    FOR UPDATE OF d SKIP LOCKED
                ) pick
                ORDER BY pick.attempts, pick.due_at, pick.id
                LIMIT %(limit)s
            )
            UPDATE alerts_delivery d
            SET state = 'sending',
                leased_until = %(leased_until)s,
                attempts = d.attempts + 1,
                possibly_repeated = d.possibly_repeated OR due.state = 'sending'
            FROM due
            WHERE d.id = due.id
            RETURNING d.id, due.state = 'sending'
            """,
            {"at": at, "leased_until": at + LEASE, "limit": limit},
        )
        lost = dict(cursor.fetchall())
    if not lost:
        return []
    deliveries = Delivery.objects.select_related("alert", "channel").filter(pk__in=lost).order_by("id")
    return [_claim(delivery, lost=lost[delivery.pk], at=at) for delivery in deliveries]


def attempt(claim: Claim) -> Outcome:
    """Send one claimed delivery. Never raises and touches no database, so it may run in any thread."""
    if claim.settled is not None:
        return claim.settled
    try:
        return KINDS[claim.kind].send(claim.message, claim.config, claim.secret, claim.idempotency_key)
    except Exception as error:
        # A mistake of ours in one channel must not hold up the others. Only frames are logged: the text of an
        # exception may hold the secret.
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("delivery.broke", delivery=claim.delivery_id, error=type(error).__name__, frames=frames)
        return RetryLater(reason=f"our own fault: {type(error).__name__}", maybe_received=True, ours=True)


@transaction.atomic(durable=True)
def record(claim: Claim, outcome: Outcome, *, at: datetime, chance: float) -> bool:
    """Write what became of an attempt; `chance` in [0, 1) picks the length of the pause before another.

    Returns whether it counted: not so where the lease ran out and somebody else has claimed the delivery. What was
    delivered counts all the same, unless it has ended already. 1 query, 2 where the channel has to rest.
    """
    mine = Delivery.objects.filter(pk=claim.delivery_id, state=DeliveryState.SENDING, attempts=claim.attempt)
    match outcome:
        case Delivered(answer=answer):
            open_still = Delivery.objects.filter(
                pk=claim.delivery_id, state__in=[DeliveryState.WAITING, DeliveryState.SENDING]
            )
            counted = open_still.update(
                state=DeliveryState.DELIVERED,
                delivered_at=at,
                leased_until=None,
                reason="",
                answer=_clean(answer, _ANSWER_CHARACTERS),
            )
        case FailedForGood(reason=reason):
            counted = mine.update(
                state=DeliveryState.FAILED,
                leased_until=None,
                reason=_clean(reason, _REASON_CHARACTERS),
                answer=_clean(reason, _ANSWER_CHARACTERS),
            )
        case RetryLater():
            counted = _record_retry(claim, outcome, at=at, chance=chance)
    log.info(
        "delivery.recorded" if counted else "delivery.overtaken",
        delivery=claim.delivery_id,
        channel=claim.channel_id,
        attempt=claim.attempt,
        outcome=type(outcome).__name__,
    )
    return bool(counted)


def _record_retry(claim: Claim, outcome: RetryLater, *, at: datetime, chance: float) -> int:
    mine = Delivery.objects.filter(pk=claim.delivery_id, state=DeliveryState.SENDING, attempts=claim.attempt)
    again_at = rules.next_try_at(
        day_began_at=claim.day_began_at,
        failed_at=at,
        attempts=claim.attempt,
        chance=chance,
        retry_after_seconds=outcome.retry_after_seconds,
    )
    written: dict[str, Any] = {"leased_until": None, "answer": _clean(outcome.reason, _ANSWER_CHARACTERS)}
    if outcome.maybe_received:
        written["possibly_repeated"] = True
    if again_at is None:
        reason = f"given up after a day and {claim.attempt} attempts: {outcome.reason}"
        return mine.update(state=DeliveryState.FAILED, reason=_clean(reason, _REASON_CHARACTERS), **written)
    reason = _clean(outcome.reason, _REASON_CHARACTERS)
    counted = mine.update(state=DeliveryState.WAITING, due_at=again_at, reason=reason, **written)
    if counted and not outcome.ours:
        # The channel rests: others would only fail in their turn. Each keeps its last try at the end of its day.
        began = Coalesce("asked_again_at", "created_at")
        last = ExpressionWrapper(began + rules.GIVE_UP_AFTER, output_field=DateTimeField())
        waiting = Delivery.objects.alias(began=began).filter(
            channel_id=claim.channel_id,
            state=DeliveryState.WAITING,
            due_at__lt=again_at,
            began__gt=at - rules.GIVE_UP_AFTER,
        )
        # In one order, so that two rests of one channel cannot wait for each other.
        ids = list(waiting.order_by("id").select_for_update(skip_locked=True).values_list("id", flat=True))
        Delivery.objects.filter(pk__in=ids).update(due_at=Least(again_at, last))
    return counted


@transaction.atomic(durable=True)
def ask_again(*, delivery_id: int, by: str, at: datetime) -> None:
    """Have a failed delivery tried again, from now on for a day; a comment on its alert says who asked.

    Where an attempt before may have arrived, the message says "possibly repeated". Of two who ask at once, one does;
    the edge nudges `alerts.tasks.deliver_due` after the commit.

    Raises:
        NoSuchDelivery, NotFailed, ChannelGone: nothing changed.
    """
    delivery = Delivery.objects.select_related("channel").filter(pk=delivery_id).first()
    if delivery is None:
        raise NoSuchDelivery(f"There is no delivery {delivery_id}.")
    channel = delivery.channel
    if channel is None:
        raise ChannelGone("No channel wanted this alert, so there is nowhere to send it. Set one up for the next.")
    _check_in_use(channel)
    failed = Delivery.objects.filter(pk=delivery_id, state=DeliveryState.FAILED)
    if failed.update(state=DeliveryState.WAITING, reason="", due_at=at, asked_again_at=at) == 0:
        raise NotFailed("Only a delivery that has failed can be asked for again.")
    AlertComment.objects.create(
        alert_id=delivery.alert_id, at=at, by=by, text=f"Asked for the delivery to {channel.name} again."
    )
    log.info("delivery.asked_again", delivery=delivery_id, by=by)


@transaction.atomic(durable=True)
def ask_all_again(*, channel_id: int, seen_at: datetime, by: str, at: datetime) -> int:
    """Have what failed of a channel tried again as `ask_again` does, and return how many deliveries those are.

    For after a far side that refused everything, as one does whose address was gone. `seen_at` is when whoever asks
    looked: what was made, or asked for by anybody, since then is left out. So asking twice asks once, also where what
    was asked for has failed again meanwhile. Each has a comment on its alert; they leave one after the other.
    4 queries.

    Raises:
        NoSuchChannel, ChannelGone: nothing changed.
    """
    channel = Channel.objects.filter(pk=channel_id).first()
    if channel is None:
        raise NoSuchChannel(f"There is no channel {channel_id}.")
    _check_in_use(channel)
    failed = Delivery.objects.filter(channel=channel, state=DeliveryState.FAILED, created_at__lte=seen_at).filter(
        Q(asked_again_at__isnull=True) | Q(asked_again_at__lt=seen_at)
    )
    # In one order, so that two who ask cannot wait for each other; the second finds none of them failed.
    asked = dict(failed.order_by("id").select_for_update(no_key=True).values_list("id", "alert_id"))
    if not asked:
        return 0
    Delivery.objects.filter(pk__in=asked).update(state=DeliveryState.WAITING, reason="", due_at=at, asked_again_at=at)
    text = f"Asked for the delivery to {channel.name} again, with all others that failed there."
    AlertComment.objects.bulk_create(
        AlertComment(alert_id=alert_id, at=at, by=by, text=text) for alert_id in asked.values()
    )
    log.info("delivery.all_asked_again", channel=channel.pk, deliveries=len(asked), by=by)
    return len(asked)


def _check_in_use(channel: Channel) -> None:
    if channel.retired_at is not None or not channel.enabled:
        gone = "retired" if channel.retired_at is not None else "switched off"
        raise ChannelGone(f"The channel {channel.name} is {gone}.")


def _claim(delivery: Delivery, *, lost: bool, at: datetime) -> Claim:
    channel, alert = delivery.channel, delivery.alert
    day_began_at = delivery.asked_again_at or delivery.created_at
    assert channel is not None  # only rows with a channel are claimed
    settled: Outcome | None = None
    secret = ""
    if channel.retired_at is not None:
        settled = FailedForGood(reason="the channel was retired before this could be sent")
    elif not channel.enabled:
        settled = FailedForGood(reason="the channel was switched off before this could be sent")
    elif channel.kind not in KINDS:
        settled = FailedForGood(reason=f"there is no kind of channel named {channel.kind!r}")
    elif lost and at >= day_began_at + rules.GIVE_UP_AFTER:
        settled = FailedForGood(reason="given up after a day: the outcome of the last attempt was lost")
    else:
        try:
            secret = secrets.decrypt(bytes(channel.secret)).decode() if channel.secret else ""
        except TollkeeperError as error:
            settled = RetryLater(reason=str(error))  # the right key may be put back
    return Claim(
        delivery_id=delivery.pk,
        attempt=delivery.attempts,
        day_began_at=day_began_at,
        channel_id=channel.pk,
        kind=channel.kind,
        config=channel.config,
        secret=secret,
        message=compose(
            title=alert.title,
            severity=str(Severity(alert.severity).label),
            facts=alert.facts,
            base_url=settings.BASE_URL,
            sent_at=at,
            origin=Origin(alert_id=alert.pk, kind=alert.kind, raised_at=alert.created_at),
            still_open=alert.state == AlertState.OPEN,
            possibly_repeated=delivery.possibly_repeated,
        ),
        idempotency_key=delivery.idempotency_key,
        settled=settled,
    )


def _since(at: datetime, began: float) -> datetime:
    return at + timedelta(seconds=time.monotonic() - began)


def _clean(text: str, characters: int) -> str:
    """Return the text as PostgreSQL takes it, cut short."""
    text = text.replace("\x00", "")
    return text if len(text) <= characters else text[: characters - 1] + "…"
