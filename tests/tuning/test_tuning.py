"""What a tuning says that has nothing to train."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peftrec.errors import UserError

pytest.importorskip("optuna")

from peftrec.tuning.tuning import _train_best


def test_a_tuning_all_of_whose_trials_failed_trains_nothing() -> None:
    """As on a disk that is full."""
    failed: Any = SimpleNamespace(study=SimpleNamespace(best=lambda: None))
    learnt: Any = SimpleNamespace(folder=Path("runs/tuned/tuning"))
    runner: Any = None
    with pytest.raises(UserError, match=r"no trial ended well, .*; see runs/tuned/tuning/trials\.csv"):
        _train_best([failed, failed], learnt, runner)
