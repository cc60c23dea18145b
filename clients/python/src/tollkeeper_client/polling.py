"""Polls: what is asked, what becomes of each answer, and when to ask again.

# Note [Keep the last]
Rules are replaced by better ones and by nothing else. Whatever a poll ends with (another status, bytes that are no
rules, nothing at all), the rules at hand go on deciding. A document becomes ours, and its tag what we say we have, only
once it was checked and compiled: a tag remembered for rules that failed would never be fetched again.

# Note [Refused documents]
What was refused is named with its reason on each poll until other rules are taken, so that the console shows it, and
its tag stands beside our own in `If-None-Match`, so that it is not sent again and again. The bytes may have been spoilt
on the way, though: after a minute, then two, four and so on up to an hour, the document is asked for once more.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from . import kept
from .http import CLIENT, Answer, Closed, Line, Unreachable
from .pauses import Pauses, retry_after, spread
from .rules.document import SPEC
from .signatures import Verifier
from .taking import Refused, Rules, check, named_by

log = logging.getLogger("tollkeeper_client")

LEAST_WAIT_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 1.0
MOST_PAUSE_SECONDS = 60.0
MOST_PAUSE_FORBIDDEN_SECONDS = 300.0  # a key that is not taken is seldom taken a minute later
FIRST_REFUSED_SECONDS = 60.0
MOST_REFUSED_SECONDS = 3600.0
ANSWER_SECONDS = 15.0
_AT_ONCE_SECONDS = 0.1  # between polls that wait, about
_REASON_CHARACTERS = 300  # as many as the server keeps
_TAG = re.compile(r'(?:W/)?"[!#-~]{1,200}"')
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=([0-9]{1,6})")
_LONGEST_MAX_AGE = 3600
_OF_PROXIES = (408, 502, 504, 524)  # what they say when they end a request themselves


@dataclass(slots=True)
class _Refusal:
    tag: str
    name: str | None  # version and revision
    reason: str
    seconds: float  # for how long its tag is named
    until: float  # by the monotonic clock


class Poller:
    """The rules of one environment, and the way to newer ones. Any thread reads `rules`; one polls at a time."""

    def __init__(
        self,
        *,
        line: Line,
        environment: str,
        instance: Callable[[], str],
        file: Path | None,
        verifier: Verifier | None,
        interval: float,
        wait: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._line = line
        self._environment = environment
        self._instance = instance
        self._file = file
        self._verifier = verifier
        self._interval = interval
        self._wait = wait
        self._clock = clock
        self._pauses = Pauses(first=FIRST_PAUSE_SECONDS, most=MOST_PAUSE_SECONDS)
        self._pauses_forbidden = Pauses(first=FIRST_PAUSE_SECONDS, most=MOST_PAUSE_FORBIDDEN_SECONDS)
        self._refusal: _Refusal | None = None

        self.rules: Rules | None = None
        self.arrived = threading.Event()  # there are rules
        self.from_disk = False
        self.taken_at: datetime | None = None
        self.checked_at: datetime | None = None  # the server last said what is in force
        self.error: str | None = None  # of the last poll
        self.disk_error: str | None = None

    @property
    def rejected(self) -> tuple[str, str] | None:
        """What was refused and not followed by anything better: version and revision or tag, and the reason."""
        refusal = self._refusal
        return None if refusal is None else (refusal.name or refusal.tag, refusal.reason)

    @property
    def failures(self) -> int:
        """How many polls in a row ended with no answer that counts."""
        return self._pauses.failures

    def load(self) -> None:
        """Take what was kept on disk, if it is whole and still passes every check."""
        if self._file is None or self.rules is not None:
            return
        try:
            found = kept.load(self._file)
            if found is None:
                return
            rules = check(
                found.body, tag=found.tag, signature=found.signature,
                environment=self._environment, verifier=self._verifier,
            )  # fmt: skip
        except (kept.Damaged, Refused) as error:
            self.disk_error = str(error)
            log.warning("rules.file_ignored %s", error)
            return
        self._swap(rules, new=True)
        self.from_disk = True

    def after_fork(self) -> None:
        arrived = self.arrived.is_set()
        self.arrived = threading.Event()
        if arrived:
            self.arrived.set()

    def poll(self, *, wait: float | None = None, within: float = ANSWER_SECONDS) -> float:
        """Ask once and return the seconds until it is to be asked again. Raises nothing.

        `wait` is for how long the server may keep the poll, `within` for how long it may be silent beyond that.
        """
        asked_at = self._clock()
        refused = self._refusal if self._refusal is not None and asked_at < self._refusal.until else None
        seconds = self._wait if wait is None else wait
        # Whoever has nothing wants to know at once whether there is anything, and waits from the next poll on.
        first = self.rules is None and self.checked_at is None and wait is None and seconds >= 1
        if first:
            seconds = 0.0
        if refused is not None:
            seconds = min(seconds, refused.until - asked_at + 1)
        tags = [] if self.rules is None else [self.rules.tag]
        if refused is not None and refused.tag:
            tags.append(refused.tag)
        headers = {"If-None-Match": ", ".join(tags)} if tags else {}
        if seconds >= 1:
            headers["Prefer"] = f"wait={int(seconds)}"
        try:
            answer = self._line.ask(
                "GET", f"/api/v1/rules/{quote(self._environment, safe='')}",
                params=self._report(), headers=headers, seconds=seconds + within,
            )  # fmt: skip
        except Closed:
            return self._interval  # by us: nothing to tell
        except Unreachable as error:
            self._wait_less(self._clock() - asked_at)
            return self._failed(f"out of reach: {error}")
        if answer.status in _OF_PROXIES:
            self._wait_less(self._clock() - asked_at)
        waited = self._clock() - asked_at >= min(1.0, seconds)
        if answer.status == 200:
            return self._given(answer, named=tags, first=first)
        if answer.status == 304 and tags:
            if self.rules is not None and named_by(answer.headers.get("etag", "")) == self.rules.name:
                self._refusal = None  # what was refused is not in force any more
            self.from_disk = False
            return self._answered(answer, at_once=waited)
        if answer.status == 404 and _code(answer) == "no-version":
            pause = self._answered(answer, at_once=waited, first=first)
            self.error = f"no rules are in force in {self._environment} yet"
            return pause
        return self._failed(_words(answer, self._environment), answer)

    def _report(self) -> dict[str, str]:
        """What this instance says of itself: routing/serving/reports.py reads it."""
        said = {"instance": self._instance(), "client": CLIENT, "spec": str(SPEC)}
        if self.rules is not None:
            said["active"] = self.rules.name
        if self._refusal is not None and self._refusal.name is not None:
            said |= {"rejected": self._refusal.name, "reason": self._refusal.reason[:_REASON_CHARACTERS]}
        return said

    def _given(self, answer: Answer, *, named: list[str], first: bool) -> float:
        tag = answer.headers.get("etag", "").strip()
        if not _TAG.fullmatch(tag):
            tag = ""
        signature = answer.headers.get("tollkeeper-signature")
        try:
            rules = check(
                answer.body, tag=tag, signature=signature, environment=self._environment, verifier=self._verifier
            )
        except Refused as refused:
            return self._refuse(answer, tag, str(refused), named=named)
        old = self.rules
        new = old is None or old.body != rules.body
        self._swap(rules, new=new)
        if new:
            log.info("rules.taken %s of %s", rules.name, self._environment)
        self._refusal = None
        self._keep(rules)
        # A server, or a cache before it, that sends what we said we have does not know what waiting is.
        return self._answered(answer, at_once=tag not in named, first=first)

    def _swap(self, rules: Rules, *, new: bool) -> None:
        self.rules = rules  # one reference: whoever is deciding goes on with the old ones
        self.from_disk = False
        if new:
            self.taken_at = datetime.now(UTC)
        self.arrived.set()

    def _keep(self, rules: Rules) -> None:
        if self._file is None:
            return
        wanted = kept.KeptRules(rules.tag, rules.signature, rules.body)
        try:
            if kept.load(self._file) == wanted:  # another process was first
                self.disk_error = None
                return
        except kept.Damaged:
            pass
        try:
            kept.save(self._file, wanted)
            self.disk_error = None
        except OSError as error:
            self.disk_error = f"the rules could not be kept: {error}"
            log.warning("rules.not_kept %s", error)

    def _refuse(self, answer: Answer, tag: str, reason: str, *, named: list[str]) -> float:
        """See Note [Refused documents]."""
        old = self._refusal
        again = old is not None and old.tag == tag
        seconds = min(old.seconds * 2, MOST_REFUSED_SECONDS) if old is not None and again else FIRST_REFUSED_SECONDS
        if not again or (old is not None and old.reason != reason):
            log.error("rules.refused %s: %s", named_by(tag) or tag or "without a tag", reason)
        self._refusal = _Refusal(tag, named_by(tag), reason, seconds, self._clock() + seconds)
        if not tag or tag in named:
            # Nothing to name it by, or naming it does not help: only asking less often does.
            return self._failed(f"sent what cannot be run: {reason}", answer)
        self._pauses.after_success()
        self.error = f"sent what cannot be run: {reason}"
        return spread(self._interval)

    def _answered(self, answer: Answer, *, at_once: bool, first: bool = False) -> float:
        """Note that the server said what is in force, and return the pause: none where it lets polls wait.

        A `first` poll did not ask to wait, so only the next one learns whether the server lets it.
        """
        self._pauses.after_success()
        self._pauses_forbidden.after_success()
        self.error = None
        self.checked_at = datetime.now(UTC)
        told = retry_after(answer.headers)
        if told is not None:
            return spread(max(told, self._interval))
        if first or (at_once and "preference-applied" in answer.headers):
            return spread(_AT_ONCE_SECONDS)
        max_age = _MAX_AGE.search(answer.headers.get("cache-control", ""))
        fresh = 0 if max_age is None else min(int(max_age[1]), _LONGEST_MAX_AGE)
        return spread(max(self._interval, fresh))

    def _wait_less(self, seconds: float) -> None:
        """Wait for half as long from now on: proxies end requests that are silent, some after half a minute."""
        if seconds >= LEAST_WAIT_SECONDS:
            self._wait = min(self._wait, max(LEAST_WAIT_SECONDS, seconds / 2))

    def _failed(self, error: str, answer: Answer | None = None) -> float:
        """See Note [Keep the last]."""
        forbidden = answer is not None and answer.status in (401, 403)
        if error != self.error:
            log.warning("rules.poll_failed %s", error)
        self.error = error
        told = None if answer is None else retry_after(answer.headers)
        pause = self._pauses.after_failure(told)
        return max(pause, self._pauses_forbidden.after_failure(told)) if forbidden else pause


def _code(answer: Answer) -> str:
    """Return the code of a problem (RFC 9457) as Tollkeeper writes it, empty for any other answer."""
    try:
        problem = json.loads(answer.body)
        kind = problem["type"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return kind.removeprefix("urn:tollkeeper:problem:") if isinstance(kind, str) else ""


def _words(answer: Answer, environment: str) -> str:
    known: Mapping[int, str] = dict.fromkeys(
        (301, 302, 303, 307, 308),
        f"redirects are not followed; give the address itself, {answer.headers.get('location')}",
    ) | {
        401: "the key is unknown, expired or revoked",
        403: f"the key may not read rules of {environment}",
        404: "there is no such address: is the URL that of a Tollkeeper?",
        304: "said that nothing changed, to a client that has nothing",
        429: "asked for a pause",
    }
    return f"answered {answer.status}: {known.get(answer.status, 'no rules')}"
