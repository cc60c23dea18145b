"""Taking in providers' statements. They stand beside the ledger and are in no total.

# Note [Which file counts]
For each day of a format and account the newest file counts that holds that day whole and was not withdrawn. So a later
export replaces the days that it has, an export by hours that breaks off replaces nothing, and withdrawing a file lets
the one before it count again. Lines are never changed or deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db import IntegrityError, transaction

from catalog.models import Gateway
from core.errors import Conflict, Invalid, NotFound, TooLarge
from core.services import audit
from usage.models import ProviderStatement, StatementFile
from usage.selectors.statements import days
from usage.statements import FORMATS, Statement
from usage.statements.contract import COUNTED, SAID

LARGEST_FILE_BYTES = 32 * 1024 * 1024
MOST_ACCOUNT_CHARACTERS = 128
_AT_ONCE = 2000
_ONE_DAY = timedelta(days=1)


class OtherAccount(Conflict):
    """The very same file counts for another account already: it would be counted twice."""


class AlreadyWithdrawn(Conflict):
    """The file was withdrawn before; nothing changed."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What became of a file. `known`: the same one is here already, and nothing was done."""

    id: int
    known: bool
    format: str
    account: str
    first_day: date
    last_day: date
    lines: int
    partial_days: Sequence[date]  # held in part only, never compared
    replaced_days: int  # whole days that an earlier file of the account holds too
    notes: Sequence[str]


def import_file(
    *,
    content: bytes,
    format: str,
    file_name: str,
    by: str,
    at: datetime,
    account: str = "",
    gateway: str = "",
) -> Imported:
    """Read an export and keep its lines, all or none. Safe to repeat: the same file for the same account is `known`.

    `account` is whose bill it is, where there are several with one provider. `gateway` says that this account is used
    through that gateway alone. Days that are not over at `at` are partial.

    Raises:
        Malformed, Invalid: it is no such export, or one that cannot be used.
        TooLarge: it has more than 32 MB.
        NotFound: there is no such gateway.
        OtherAccount: the same file stands for another account.
    """
    account = " ".join(_printable(account).split())
    _check(content, format, account)
    through = _gateway(gateway)
    digest = hashlib.sha256(content).digest()
    if (known := _standing(format, account, digest)) is not None:
        return _told(known, known=True)
    return _kept(FORMATS[format].read(content), format, account, through, digest, _tidy_name(file_name), by, at)


@transaction.atomic(durable=True)
def _kept(
    read: Statement,
    format: str,
    account: str,
    gateway: Gateway | None,
    digest: bytes,
    file_name: str,
    by: str,
    at: datetime,
) -> Imported:
    audit.acting(by=by, reason=f"statement {file_name}")
    unfinished = [day for day in days(read.first_day, read.last_day) if _ends_at(day) > at]
    partial = sorted({*read.partial_days, *unfinished})
    try:
        with transaction.atomic():
            row = StatementFile.objects.create(
                format=format,
                account=account,
                gateway=gateway,
                file_name=file_name,
                sha256=digest,
                first_day=read.first_day,
                last_day=read.last_day,
                partial_days=partial,
                notes=[*read.notes, *_partial_words(partial)],
                lines=len(read.lines),
                imported_at=at,
                imported_by=by,
            )
    except IntegrityError:  # somebody sent the same file at the same time
        known = _standing(format, account, digest)
        if known is None:
            raise
        return _told(known, known=True)
    ProviderStatement.objects.bulk_create(
        (
            ProviderStatement(file=row, **{name: getattr(line, name) for name in (*SAID, *COUNTED)})
            for line in read.lines
        ),
        batch_size=_AT_ONCE,
    )
    return _told(row, known=False)


@transaction.atomic(durable=True)
def withdraw(*, file_id: int, reason: str, by: str, at: datetime) -> None:
    """Let a file count no more; what came before it for its days counts again. The lines stay.

    Raises:
        NotFound: there is no such file.
        Invalid: no reason is given, or one that is too long.
        AlreadyWithdrawn: nothing changed.
    """
    reason = " ".join(_printable(reason).split())
    if not reason or len(reason) > 200:
        sentence = "Say why in 1 to 200 characters."
        raise Invalid(sentence, [("reason", sentence)])
    audit.acting(by=by, reason=reason)
    standing = StatementFile.objects.filter(pk=file_id, withdrawn_at__isnull=True)
    if standing.update(withdrawn_at=at, withdrawn_by=by, withdrawn_why=reason) == 0:
        if not StatementFile.objects.filter(pk=file_id).exists():
            raise NotFound(f"There is no statement {file_id}.")
        raise AlreadyWithdrawn("This file was withdrawn before.")


def _check(content: bytes, format: str, account: str) -> None:
    if format not in FORMATS:
        sentence = f"There is no format {format!r}: {', '.join(FORMATS)}."
        raise Invalid(sentence, [("format", sentence)])
    if len(account) > MOST_ACCOUNT_CHARACTERS:
        sentence = f"An account has {MOST_ACCOUNT_CHARACTERS} characters at most."
        raise Invalid(sentence, [("account", sentence)])
    if len(content) > LARGEST_FILE_BYTES:
        raise TooLarge(f"The file has {len(content):,} bytes; a statement has {LARGEST_FILE_BYTES:,} at most.")


def _gateway(name: str) -> Gateway | None:
    if not name:
        return None
    found = Gateway.objects.filter(name=name).first()
    if found is None:
        raise NotFound(f"There is no gateway {name!r}.")
    return found


def _standing(format: str, account: str, digest: bytes) -> StatementFile | None:
    """Return the file that was imported before and still counts. Two queries at most.

    Raises:
        OtherAccount
    """
    found = list(StatementFile.objects.filter(format=format, sha256=digest, withdrawn_at__isnull=True))
    for row in found:
        if row.account == account:
            return row
    if found:
        raise OtherAccount(
            f"The same file was imported for {found[0].account or 'the account without a name'} by "
            f"{found[0].imported_by}. Two bills are never the same: withdraw that one if it was for another account."
        )
    return None


def _told(row: StatementFile, *, known: bool) -> Imported:
    partial = set(row.partial_days)
    earlier = (
        StatementFile.objects.filter(
            format=row.format, account=row.account, withdrawn_at__isnull=True, first_day__lte=row.last_day,
            last_day__gte=row.first_day, pk__lt=row.pk,
        ).values_list("first_day", "last_day", "partial_days")
        if not known
        else ()
    )  # fmt: skip
    held = {day for first, last, parts in earlier for day in days(first, last) if day not in parts}
    return Imported(
        id=row.pk,
        known=known,
        format=row.format,
        account=row.account,
        first_day=row.first_day,
        last_day=row.last_day,
        lines=row.lines,
        partial_days=row.partial_days,
        replaced_days=sum(1 for day in days(row.first_day, row.last_day) if day not in partial and day in held),
        notes=row.notes,
    )


def _ends_at(day: date) -> datetime:
    return datetime.combine(day + _ONE_DAY, time(), tzinfo=UTC)


def _partial_words(partial: Sequence[date]) -> list[str]:
    if not partial:
        return []
    if len(partial) == 1:
        return [f"The day {partial[0]} is not whole in it, and is not compared: export it again once it is over."]
    words = (
        f"{len(partial)} days from {partial[0]} to {partial[-1]} are missing or not whole in it, and are not compared: "
        "export them again once they are over."
    )
    return [words]


def _tidy_name(file_name: str) -> str:
    name = file_name.replace("\\", "/").rpartition("/")[2]
    return _printable(name[:800]).strip()[:200].strip() or "statement"


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)
