"""`benchmarks/scale.py` measures a step of what it says: N users, N items, and a store opened as a run opens it."""

from pathlib import Path
from typing import Any

import pytest
import scale

from peftrec.hidden_states.verification import find_problems


def test_a_step_draws_from_all_users_and_reads_a_whole_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 300
    opened, drawn = [], []
    open_store, histories = scale.open_store, scale.histories

    def opening(*arguments: Any) -> Any:
        opened.append(open_store(*arguments))
        return opened[-1]

    def drawing(*sizes: int) -> Any:
        drawn.append(sizes)
        return histories(*sizes)

    monkeypatch.setattr(scale, "open_store", opening)
    monkeypatch.setattr(scale, "histories", drawing)
    monkeypatch.setattr(scale, "WIDTH", 64)
    monkeypatch.setattr(scale, "NUM_STEPS", 12)
    measured = scale.measure_step(size, tmp_path)
    assert measured["seconds"] > 0
    (store,) = opened
    assert store.manifest.key.num_items == size
    assert store.placement == "disk"
    assert drawn == [(size, size)]
    (folder,) = tmp_path.iterdir()
    assert not list(find_problems(folder, extent="everything"))
