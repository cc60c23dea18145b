"""How figures are shown: beside their limits, for comparison alone, or missing with the reason."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from controlplane.bench import growth, main, profile, rating
from controlplane.bench.main import Figure
from tests.usage import checks, making
from usage.models import EventKey, LedgerEntry, Receipt
from usage.services import ledger
from usage.services.raw import raw_cursor


@pytest.mark.parametrize(
    ("value", "limit", "better", "meets"),
    [
        (9.0, 10, "less", True),
        (11.0, 10, "less", False),
        (0.3, 0.2, "more", True),
        (0.1, 0.2, "more", False),
        (200.0, None, "less", True),
        (None, None, "less", True),
        (None, 10, "less", False),
    ],
)
def test_a_figure_meets_its_limit_if_it_has_one(value, limit, better, meets):
    figure = Figure(what="something", value=value, unit="us", limit=limit, aim=3, better=better)

    assert figure.meets is meets


def test_what_could_not_be_measured_is_shown_with_its_reason(capsys):
    figures = [
        Figure(what="ours", value=2.5, unit="us", limit=10, aim=3, better="less"),
        Figure(what="theirs", value=None, unit="us", better="less", note="it could not be installed: no network"),
    ]

    main._print(figures, {"fsync": "on"})

    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:3]] == [["ours", "2.5", "us", "10", "3"], ["theirs", "missing"]]
    assert lines[3].strip() == "it could not be installed: no network"


def test_a_machine_that_cannot_install_litellm_is_told_so_and_the_rest_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(rating, "ROOT", tmp_path)  # where no lock file is
    monkeypatch.setattr(rating, "CALLS", 10)
    monkeypatch.setattr(rating, "CALLS_ELSEWHERE", 1)

    ours, of_genai, of_litellm = rating.measure()

    assert ours.value is not None
    assert of_genai.value is not None
    assert of_genai.note.endswith("for the same cost of 0.009062 USD")
    assert of_litellm.value is None
    assert of_litellm.note.startswith("LiteLLM could not be installed: ")
    assert str(Path("requirements/install.py")) in of_litellm.note


@pytest.mark.django_db(transaction=True)
def test_a_filled_ledger_is_a_year_of_entries_with_the_sums_and_keys_that_belong_to_them():
    now = timezone.now()
    making.make_priced_offering()
    making.send(
        *(
            making.make_event(occurred_at=now, use_case=f"use-case-{n % 3}", latency_ms=n, fallback_index=n % 2)
            for n in range(1, 40)
        ),
        making.make_event(occurred_at=now, model="nobody-knows", reasoning_tokens=7),
        making.make_event(occurred_at=now, status="usage_missing", counted=False, latency_ms=None),
        received_at=now,
    )  # fmt: skip
    before = LedgerEntry.objects.count()

    growth.fill(entries=5_000, at=now)

    checks.assert_rollups_equal_ledger()
    booked = LedgerEntry.objects.order_by("booked_at").values_list("booked_at", flat=True)
    assert len(booked) == before + 5_000
    assert timedelta(days=364) < now - booked[0] < timedelta(days=367)
    window = LedgerEntry.objects.filter(booked_at__gte=now - timedelta(days=37)).count()
    assert EventKey.objects.count() == window
    assert window < 600
    assert Receipt.objects.filter(state="done").count() == 1 + 5
    assert Receipt.objects.filter(pk__in=LedgerEntry.objects.values("receipt_id")).count() == 1 + 5
    with raw_cursor() as cursor:
        assert ledger.take_ids(cursor, 1)[0] > LedgerEntry.objects.order_by("-id")[0].id
    making.send(making.make_event(occurred_at=now), received_at=now)
    checks.assert_rollups_equal_ledger()


@pytest.mark.django_db(transaction=True)
def test_a_profile_tells_of_every_stage_and_leaves_little_unnamed(capsys):
    making.forget_everything()

    edge, worker = profile.measure(events=2_000)

    assert LedgerEntry.objects.count() == 12_000
    for part, stages in ((edge, profile._EDGE), (worker, profile._WORKER)):
        named = {name for _, _, name in stages if isinstance(name, str)}
        assert named - part.stages.keys() == set(), "a stage is called no more: its function has another name by now"
        assert all(spent.wall > 0 for spent in part.stages.values())
    assert (worker.stages["COPY into the ledger"].database > 0) == Path("/proc/self/schedstat").exists()
    whole = sum(spent.here for spent in worker.stages.values())
    assert worker.stages[profile.REST].here < whole / 5

    profile.show([edge, worker])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(rows) == len(edge.stages) + len(worker.stages) + 2 * 3
