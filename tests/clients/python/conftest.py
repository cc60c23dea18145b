from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.python.far_side import FarSide


@pytest.fixture
def far_side() -> Iterator[FarSide]:
    with FarSide().running() as found:
        yield found


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "KEY", "ENVIRONMENT", "CLIENT_DIR", "INSTANCE", "PUBLIC_KEY"):
        monkeypatch.delenv(f"TOLLKEEPER_{name}", raising=False)
