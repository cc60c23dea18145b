"""Promise 7 while processes die: crossings are those of a sequential run, messages those of a run in commit order.

Many workers book random batches that pass thresholds of several budgets, one of them on the whole organisation. Some of
what was sent is taken back or replaced, some comes late, limits are raised and lowered meanwhile. Workers are killed
with -9, at random or in the middle of a batch or of a message, and so is PostgreSQL. At the end the ledger's lines are
put in the order in which their transactions committed, and a plain model (`crossings_model`) says what had to be told.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import psycopg
import pytest

from alerts.messages import REPEATED
from alerts.models import Severity
from controlplane.embedded.servers import Servers, temporary_dir
from core.services import barrier
from tests import prepared
from tests.alerts.far_sides import CloseEarly, Hang, Reply, Webhook
from tests.faults import crossings_model as model
from tests.faults.crossings_model import ACTUAL, Budget, Limit, State
from tests.faults.house import PATIENCE_S, House
from tests.usage.waiting import until

pytestmark = pytest.mark.soak
FULL = os.environ.get("TOLLKEEPER_SOAK") == "1"
SEED = int(os.environ.get("TOLLKEEPER_SOAK_SEED", 0)) or (time.time_ns() % 10**9 if FULL else 20_261_121)
WORKERS = 16 if FULL else 4
CLIENTS = 4 if FULL else 2
ALERTS_WORKERS = ("alerts-1", "alerts-2")
# Each is brought about while so many bodies are on their way; then come as many more, and the next.
BODIES = 40 if FULL else 16
FAULTS = {
    "a limit changed": 18 if FULL else 2,
    "a change of a limit cut short": 6 if FULL else 1,
    "a worker killed in a batch": 18 if FULL else 2,
    "a worker killed at random": 18 if FULL else 1,
    "a message cut short": 9 if FULL else 1,
    "PostgreSQL killed": 9 if FULL else 1,
}
MOST_EVENTS = 40  # of a body
DAYS = 2  # how late an event may come
# Where a batch is broken: while it counts, while it tells, and when all is written.
WRITTEN = ("budgets_counter", "budgets_crossing", "alerts_delivery", "receipt")

GATEWAYS = ("edge-1", "edge-2")
STEADY = "steady"  # nothing of this use case is ever taken back
USE_CASES = ("support", "search", "code", STEADY)
MODELS = ("gpt-5.5", "gpt-5.5", "gpt-5.4-mini", "nobody-knows")
MANY = tuple(range(10, 210, 10))
STEADILY = Budget(name="steady", unit="tokens", scope={"use_case": [STEADY]}, period="day", zone="UTC", thresholds=MANY)
BUDGETS = (
    Budget(name="everything", unit="usd", scope={}, period="month", zone="Europe/Berlin", thresholds=MANY),
    Budget(
        name="support", unit="frontier_tokens", scope={"use_case": ["support"]}, period="day", zone="Asia/Kathmandu",
        thresholds=MANY, action="downgrade",
    ),
    Budget(
        name="production", unit="tokens", scope={"tag:env": ["prod"]}, period="week", zone="Australia/Lord_Howe",
        thresholds=(25, 50, 75, 100),
    ),
    Budget(
        name="on trial", unit="usd", scope={"model": ["gpt-5.5"], "gateway": ["edge-1"]}, period="year",
        zone="America/Santiago", thresholds=(50, 100, 150), action="downgrade", trial=True, fiscal_start_month=4,
    ),
    Budget(
        name="blocked", unit="requests", scope={"gateway": ["edge-2"], "use_case": ["search", "code"]},
        period="quarter", zone="UTC", thresholds=(30, 60, 90, 100), action="block",
    ),
    STEADILY,
)  # fmt: skip
CHANGING = ("everything", "support", "production")
CHANNELS: dict[str, dict[str, Any]] = {
    "all": {"least_severity": 0, "budgets": []},
    "critical": {"least_severity": Severity.CRITICAL.value, "budgets": []},
    "support": {"least_severity": 0, "budgets": ["support"]},
}
ALWAYS = datetime.min.replace(tzinfo=UTC)


class Traffic:
    """Random bodies, and what was in all of them."""

    def __init__(self, chance: Random) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.taken_back: set[str] = set()
        self._chance = chance
        self._may_go: dict[str, list[str]] = defaultdict(list)
        self._sent: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._now = datetime.now(UTC)

    def bodies(self, count: int) -> list[dict[str, Any]]:
        return [self._body() for _ in range(count)]

    def _body(self) -> dict[str, Any]:
        chance = self._chance
        gateway = chance.choice(GATEWAYS)
        made = [self._event(gateway) for _ in range(chance.randint(1, MOST_EVENTS))]
        self._sent[gateway] += made
        if chance.random() < 0.3:
            made += chance.choices(self._sent[gateway], k=3)  # sent again
        return {"gateway": gateway, "events": made}

    def _event(self, gateway: str) -> dict[str, Any]:
        chance = self._chance
        late = timedelta(days=DAYS) if chance.random() < 0.2 else timedelta(minutes=10)
        spike = 40 if chance.random() < 0.03 else 1  # large enough to pass a threshold, and to come back below
        event: dict[str, Any] = {
            "id": f"event-{sum(map(len, self._sent.values()))}-{chance.getrandbits(32):x}",
            "at": (self._now - late * chance.random()).isoformat(),
            "gateway": gateway,
            "use_case": chance.choice(USE_CASES),
            "model": chance.choice(MODELS),
            "input": chance.randrange(1, 4000) * spike,
            "output": chance.randrange(1, 800) * spike,
            "status": chance.choice(("ok", "ok", "ok", "error")),
            "tags": {"env": chance.choice(("prod", "test"))} if chance.random() < 0.7 else {},
            "replaces": "",
            "voids": "",
        }
        if chance.random() < 0.05:
            event |= {"status": "blocked", "input": 0, "output": 0}
        may_go = self._may_go[gateway]
        if may_go and chance.random() < 0.04:
            gone = may_go.pop(chance.randrange(len(may_go)))
            event[chance.choice(("replaces", "voids"))] = gone
            self.taken_back.add(gone)
        elif event["use_case"] != STEADY and (spike > 1 or chance.random() < 0.05):
            may_go.append(event["id"])
        self.events[event["id"]] = event
        return event

    @property
    def counting(self) -> list[dict[str, Any]]:
        return [one for one in self.events.values() if not one["voids"] and one["id"] not in self.taken_back]


class Crossings(House):
    """A house without a web process: clients have bodies taken in as the edge does."""

    chance: Random
    limits: dict[str, list[Limit]]
    ids: dict[str, dict[str, int]]
    generation = 0
    asked: psycopg.Connection | None = None

    def open_for(self, traffic: Traffic, far_sides: dict[str, Webhook], chance: Random) -> None:
        self.chance = chance
        amounts = {budget.name: _four_fifths(budget, traffic) for budget in BUDGETS}
        self.limits = {
            name: [Limit(version=1, amount=amount, since=ALWAYS, settled=ALWAYS)] for name, amount in amounts.items()
        }
        self.launch_inside("tests.faults.crossings_inside")
        found: Any = self.inside(
            "furnish",
            {
                "gateways": GATEWAYS,
                "use_cases": USE_CASES,
                "days": DAYS + 1,
                "budgets": [asdict(budget) | {"amount": str(amounts[budget.name])} for budget in BUDGETS],
                "channels": [
                    {"name": name, "url": far_sides[name].url, **wants} for name, wants in CHANNELS.items()
                ],
            },
        )  # fmt: skip
        self.ids = found

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """As any house does, over one connection: what is awaited here is asked for often."""
        for _ in range(2):  # the connection may have died with the last server
            try:
                if self.asked is None:
                    self.asked = psycopg.connect(self.servers.postgres.url, autocommit=True)
                return self.asked.execute(sql, values).fetchall()  # type: ignore[arg-type]
            except psycopg.OperationalError:
                self.stop_asking()
        return []

    def stop_asking(self) -> None:
        if self.asked is not None:
            self.asked.close()
        self.asked = None

    def counted(self, what: str) -> int:
        rows = self.query(f"SELECT count(*) FROM {what}")
        return int(rows[0][0]) if rows else 0

    def change_a_limit(self, *, cut_short: bool) -> None:
        """Give a budget another limit; who does may be killed when it is written and before anybody looked at it."""
        name = self.chance.choice(CHANGING)
        limits = self.limits[name]
        amount = (limits[0].amount * self.chance.randrange(40, 140) / 100).to_integral_value()
        wanted = [self.ids["budgets"][name], str(amount)]
        if cut_short:
            with psycopg.connect(self.servers.postgres.url) as holding:
                holding.execute("SELECT pg_advisory_xact_lock_shared(%s)", [barrier._KEY])
                self.start_inside("changing", "begin_limit", wanted)
                until(self._waits_at_the_barrier, patience_s=PATIENCE_S, what="a limit that is written")
                self.kill("changing")
            settled = self.inside("settle")
        else:
            settled = self.inside("limit", wanted)
        ((since,),) = self.query(
            "SELECT pg_xact_commit_timestamp(xmin) FROM budgets_budgetlimit WHERE budget_id = %s AND version = %s",
            wanted[0], len(limits) + 1,
        )  # fmt: skip
        limits.append(
            Limit(version=len(limits) + 1, amount=amount, since=since, settled=datetime.fromisoformat(settled))
        )

    def _waits_at_the_barrier(self) -> bool:
        return self.counted(f"pg_locks WHERE locktype = 'advisory' AND objid = {barrier._KEY} AND NOT granted") > 0

    def deliver_anew(self) -> None:
        """Kill the alerts workers and start others, whose clock is past the leases of those before."""
        self.stop_delivering()
        self.generation += 1
        for name in ALERTS_WORKERS:
            self.start_inside(name, "deliver", self.generation)

    def stop_delivering(self) -> None:
        for name in ALERTS_WORKERS:
            if self.runs(name):
                self.kill(name)

    def deliver_all(self) -> None:
        """Wait until every delivery has ended, those that were lost or have to wait included."""
        while self.counted("alerts_delivery WHERE state IN ('waiting', 'sending')"):
            self.deliver_anew()
            until(
                lambda: not self.counted(
                    f"alerts_delivery WHERE state = 'sending' OR state = 'waiting' "
                    f"AND due_at <= clock_timestamp() + interval '{self.generation * 240} seconds'"
                ),
                patience_s=PATIENCE_S, what="the deliveries",
            )  # fmt: skip
        self.stop_delivering()


def _four_fifths(budget: Budget, traffic: Traffic) -> Decimal:
    """Return a limit of which the period that uses most uses 125 per cent in the end."""
    used: Counter[datetime] = Counter()
    for event in traffic.counting:
        if model.concerns(budget, event):
            period = model.period_of(budget, datetime.fromisoformat(event["at"]))[0]
            used[period] += model.amount(budget, event)[0]  # type: ignore[assignment]
    return (Decimal(max(used.values())) * 4 / 5).to_integral_value()


@pytest.fixture
def far_sides() -> Iterator[dict[str, Webhook]]:
    made = {name: Webhook() for name in CHANNELS}
    yield made
    for one in made.values():
        one.stop()


@pytest.fixture
def house() -> Iterator[Crossings]:
    with temporary_dir("tollkeeper-crossings-") as directory:
        prepared.lay_out(directory)
        with (directory / "postgres" / "postgresql.auto.conf").open("a") as settings:
            settings.write("track_commit_timestamp = on\n")
        with Servers(directory) as servers:
            built = Crossings(servers, directory, TOLLKEEPER_ALLOW_INTERNAL_WEBHOOKS="true")
            try:
                yield built
            finally:
                built.stop_asking()
                built.close()


def _bring_about(fault: str, house: Crossings, far_sides: dict[str, Webhook]) -> bool:
    """Let something happen; false where everything was over before it could."""
    if fault in ("a limit changed", "a change of a limit cut short"):
        house.change_a_limit(cut_short=fault != "a limit changed")
    elif fault == "a worker killed in a batch":
        table = house.chance.choice(WRITTEN)
        with house.stuck_at(table, unless=lambda: not house.waits()) as worker:
            if worker < 0:
                return False
            os.kill(worker, signal.SIGKILL)
    elif fault == "a worker killed at random":
        return house.kill_one_of("bookers", house.chance)
    elif fault == "a message cut short":
        far_side = far_sides["all"]
        arrived = len(far_side.posts)
        hang = Hang()
        far_side.script.appendleft(hang)
        until(lambda: hang not in far_side.script or not house.waits(), patience_s=PATIENCE_S, what="a message")
        if hang in far_side.script:
            far_side.script.remove(hang)
            return False
        assert len(far_side.posts) > arrived
        house.deliver_anew()
    else:
        house.servers.postgres.kill()
        house.servers.postgres.start()
        house.deliver_anew()
    return True


def test_crossings_are_those_of_a_sequential_run_and_messages_those_of_a_run_in_commit_order(house, far_sides, capsys):
    chance = Random(SEED)
    faults = [fault for fault, times in FAULTS.items() for _ in range(times)]
    chance.shuffle(faults)
    traffic = Traffic(chance)
    portions = [traffic.bodies(BODIES) for _ in [*faults, "the rest"]]
    for far_side in far_sides.values():
        far_side.script.extend(CloseEarly() if chance.random() < 0.1 else Reply() for _ in range(20))
    house.open_for(traffic, far_sides, chance)

    happened: Counter[str] = Counter()
    started = time.monotonic()
    house.start_bookers(WORKERS)
    house.start_inside("looking", "look")
    house.deliver_anew()
    for number, (portion, fault) in enumerate(zip(portions, [*faults, ""], strict=True)):
        enough = house.counted("receipt WHERE state = 'done'") + chance.randrange(1, BODIES // 2)
        for client in range(CLIENTS):
            house.start_inside(f"client-{number}-{client}", "send", portion[client::CLIENTS])
        until(
            lambda enough=enough: house.counted("receipt WHERE state = 'done'") >= enough,
            patience_s=PATIENCE_S, what="some bookings",
        )  # fmt: skip
        happened[fault] += bool(fault) and _bring_about(fault, house, far_sides)
    clients = [f"client-{number}-{client}" for number in range(len(portions)) for client in range(CLIENTS)]
    until(lambda: not any(map(house.runs, clients)), patience_s=PATIENCE_S, what="all clients")
    house.until_all_is_booked(patience_s=PATIENCE_S * (10 if FULL else 1))
    house.kill("looking")
    house.kill("bookers")
    house.deliver_all()

    with capsys.disabled():
        said = ", ".join(f"{fault} {happened[fault]} of {times} times" for fault, times in FAULTS.items())
        sys.stdout.write(f"\nseed {SEED}, {time.monotonic() - started:.0f} s, {len(traffic.events)} events; {said}; ")
    assert all(happened[fault] for fault in FAULTS), happened
    exceeded = house.inside("verify")
    _check(house, traffic, far_sides, exceeded, capsys)


def _check(
    house: Crossings, traffic: Traffic, far_sides: dict[str, Webhook], exceeded: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    booked = [
        (at, transaction, event_id, {1: 1, 2: -1}[kind])
        for at, transaction, event_id, kind in house.query(
            "SELECT pg_xact_commit_timestamp(xmin), xmin::text, event_id, kind FROM ledger ORDER BY 1, id"
        )
    ]
    counts: Counter[str] = Counter()
    for _, _, event_id, sign in booked:
        counts[event_id] += sign
    assert +counts == Counter(one["id"] for one in traffic.counting)
    assert min(counts.values()) == 0, "nothing was taken back"

    states = model.states(BUDGETS, traffic.events, booked)
    _counters_agree(house, states)
    crossings = _crossings_agree(house, states)
    _steady_agrees(crossings, traffic)
    repeated = _messages_agree(house, crossings, far_sides)
    assert exceeded == sorted(
        budget.name
        for budget in BUDGETS
        if budget.action != "alert" and not budget.trial
        if (now := states.get((budget.name, model.period_of(budget, datetime.now(UTC))[0])))
        if now[-1].used >= house.limits[budget.name][-1].amount
    )
    assert "deadlock detected" not in (house.servers.data_dir / "log" / "postgres.log").read_text()
    with capsys.disabled():
        sys.stdout.write(
            f"{len({at for at, *_ in booked})} bookings, {len(crossings)} crossings, "
            f"{len({one.alert for one in crossings})} alerts, {repeated} messages repeated\n"
        )


def _counters_agree(house: Crossings, states: dict[model.Counter, list[State]]) -> None:
    rows = house.query(
        "SELECT b.name, c.period_start, c.used, c.unclassified FROM budgets_counter c JOIN budgets_budget b "
        "ON b.id = c.budget_id WHERE c.used <> 0 OR c.unclassified <> 0"
    )
    counted = {(name, start): (used, unclassified) for name, start, used, unclassified in rows}
    assert counted == {counter: (kept[-1].used, kept[-1].unclassified) for counter, kept in states.items()}


@dataclass(frozen=True, kw_only=True)
class Crossing:
    counter: model.Counter
    basis: str
    threshold: int
    version: int
    used: Decimal
    alert: int
    past: bool  # the period was over when it was booked
    at: datetime  # of the commit


def _crossings_agree(house: Crossings, states: dict[model.Counter, list[State]]) -> list[Crossing]:
    """Check what was told of each counter, with what, and what was told at once."""
    crossings = [
        Crossing(
            counter=(name, start), basis=basis, threshold=threshold, version=version, used=used, alert=alert,
            past=crossed_at >= end, at=at,
        )
        for name, start, end, basis, threshold, version, used, alert, crossed_at, at in house.query(
            "SELECT b.name, c.period_start, c.period_end, c.basis, c.threshold, l.version, c.used, c.alert_id, "
            "c.crossed_at, pg_xact_commit_timestamp(c.xmin) FROM budgets_crossing c "
            "JOIN budgets_budget b ON b.id = c.budget_id JOIN budgets_budgetlimit l ON l.id = c.limit_id"
        )
    ]  # fmt: skip
    of_counter: dict[model.Counter, list[Crossing]] = defaultdict(list)
    for one in crossings:
        of_counter[one.counter].append(one)
    assert of_counter.keys() <= states.keys()
    for (name, start), kept in states.items():
        budget, limits = next(one for one in BUDGETS if one.name == name), house.limits[name]
        mine = of_counter[name, start]
        have = {(one.version, one.basis, one.threshold) for one in mine}
        must, may = model.told(budget, limits, kept, period_end=model.period_of(budget, start)[1])
        assert must <= have, f"not told of {name} from {start}: {sorted(must - have)}"
        assert have <= may, f"told of {name} from {start}: {sorted(have - may)}"
        assert len(have) == len(mine)
        for alert in {one.alert for one in mine}:
            _group_agrees(budget, limits, kept, mine, [one for one in mine if one.alert == alert])
    return crossings


def _group_agrees(
    budget: Budget, limits: list[Limit], kept: list[State], mine: list[Crossing], group: list[Crossing]
) -> None:
    """Check what one alert tells: all that was reached when its transaction committed and was not told before."""
    first = group[0]
    assert {(one.at, one.basis, one.version) for one in group} == {(first.at, first.basis, first.version)}
    state = model.at(kept, first.at)
    assert {one.used for one in group} == {state.used}
    before = [one for one in mine if one.at < first.at and one.version == first.version]
    sure, perhaps = model.reached(budget, limits[first.version - 1], state)
    if first.basis == ACTUAL:
        expected = sure - {one.threshold for one in before if one.basis == ACTUAL}
    else:
        expected = perhaps - {one.threshold for one in before}
    told = {one.threshold for one in group}
    assert told <= expected
    if model.tells_all(limits, first.version, first.at, period_end=model.period_of(budget, first.counter[1])[1]):
        assert told == expected


def _steady_agrees(crossings: list[Crossing], traffic: Traffic) -> None:
    """Check the budget whose use only ever grows and whose limit holds: any order passes the same thresholds."""
    budget, amount = STEADILY, _four_fifths(STEADILY, traffic)
    used: Counter[datetime] = Counter()
    for event in traffic.counting:
        if model.concerns(budget, event):
            used[model.period_of(budget, datetime.fromisoformat(event["at"]))[0]] += event["input"] + event["output"]
    passed = {(start, one) for start, sum_ in used.items() for one in budget.thresholds if sum_ * 100 >= amount * one}
    assert {(one.counter[1], one.threshold) for one in crossings if one.counter[0] == budget.name} == passed


def _messages_agree(house: Crossings, crossings: list[Crossing], far_sides: dict[str, Webhook]) -> int:
    """Check that each alert went to each channel that wants it, and how often; returns how many came again."""
    alerts = {
        id_: (title, severity, facts)
        for id_, title, severity, facts in house.query("SELECT id, title, severity, facts FROM alerts_alert")
    }
    deliveries = {
        (channel, alert): (state, reason)
        for channel, alert, state, reason in house.query(
            "SELECT c.name, d.alert_id, d.state, d.reason FROM alerts_delivery d "
            "JOIN alerts_channel c ON c.id = d.channel_id"
        )
    }
    assert house.counted("alerts_delivery") == len(deliveries)
    groups: dict[int, list[Crossing]] = defaultdict(list)
    for one in crossings:
        groups[one.alert].append(one)
    assert groups.keys() == alerts.keys()

    ended: dict[tuple[str, int], tuple[str, str]] = {}
    messages: dict[str, dict[tuple[Any, ...], int]] = defaultdict(dict)
    for id_, group in groups.items():
        title, severity, facts = alerts[id_]
        name, thresholds = group[0].counter[0], sorted(one.threshold for one in group)
        trial = next(budget.trial for budget in BUDGETS if budget.name == name)
        critical = group[0].basis == ACTUAL and thresholds[-1] >= 100 and not trial
        rows = dict(facts["rows"])
        passed = rows["Thresholds passed" if group[0].basis == ACTUAL else "Thresholds that may have been passed"]
        assert [int(one) for one in re.findall(r"[0-9]+", passed)] == thresholds
        assert rows["Limit"].endswith(f"(version {group[0].version})")
        assert severity == (Severity.CRITICAL if critical else Severity.WARNING)
        assert re.match(rf"{re.escape(name)}, [^:]+: ", title)  # with its period
        for channel, wants in CHANNELS.items():
            if severity >= wants["least_severity"] and name in (wants["budgets"] or [name]):
                past = group[0].past
                ended[channel, id_] = ("not_sent", "not sent: past period") if past else ("delivered", "")
                if not past:
                    messages[channel][title, *map(tuple, facts["rows"])] = id_
    assert deliveries == ended

    for channel, far_side in far_sides.items():
        came: dict[tuple[Any, ...], list[bool]] = defaultdict(list)
        for post in far_side.posts:
            came[_read(post)].append(REPEATED in str(post))
        assert came.keys() == messages[channel].keys()
        # The first may have been lost on its way; none comes twice without saying so.
        assert all(all(marks[1:]) for marks in came.values())
    return sum(len(far_side.posts) for far_side in far_sides.values()) - sum(map(len, messages.values()))


def _read(post: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a message of Slack's says: its title, and its pairs of label and value."""
    title = post["text"].partition(": ")[2]
    fields = [field["text"] for block in post["blocks"] for field in block.get("fields", ())]
    return title, *(tuple(text.removeprefix("*").split("*\n", 1)) for text in fields)
