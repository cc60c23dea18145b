"""How figures are shown: beside their limits, for comparison alone, or missing with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.bench import main, rating
from controlplane.bench.main import Figure


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
