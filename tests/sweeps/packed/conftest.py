"""Fixtures of packs."""

import pytest


@pytest.fixture(autouse=True)
def _replays_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capture steps early, since these tests take few."""
    monkeypatch.setattr("copycat.sweeps.packed.stacked_network.CAPTURE_AFTER", 2)
