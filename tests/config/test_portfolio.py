"""The portfolio is the packaged experiments of that folder and the user's own."""

from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.config.portfolio import choose_experiments, list_experiments
from tests.support.portfolio import write_portfolio


def test_own_experiments_join_the_portfolio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_portfolio(tmp_path, {"mine": 0.1})
    packaged = list_experiments()
    assert "mine" not in packaged
    monkeypatch.chdir(tmp_path)
    assert choose_experiments(None) == sorted([*packaged, "mine"])
    assert choose_experiments(["mine"]) == ["mine"]
    with pytest.raises(UserError, match=r"^--candidates: expected .*; got 'mien'\. Did you mean mine\?$"):
        choose_experiments(["mien"], given_as="--candidates")
