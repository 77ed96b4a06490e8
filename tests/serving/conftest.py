"""Finished runs on small tables with timestamps and pictures, each trained once."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from peftrec.settings.run import settings_from_config
from peftrec.training.run.pipeline import train_run
from peftrec.training.run.restored_run import RestoredRun, restore_run
from small_runs import small_config

NUM_USERS, NUM_ITEMS, SIDE = 16, 40, 16
WORDS = ("red", "steel", "lamp", "wooden", "chair", "small", "blue", "kettle", "desk", "garden")
DAY = 86400

Train = Callable[..., Path]


def write_tables(root: Path) -> Path:
    """Write interactions.csv, items.csv and images/; users act on three days each."""
    random = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    items, events = ["item,title"], ["user,item,timestamp"]
    for item in range(NUM_ITEMS):
        items.append(f"m{item},{' '.join(random.choice(WORDS, 4))} {item}")
        pixels = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"m{item}.png")
    for user in range(NUM_USERS):
        for place, item in enumerate(random.permutation(NUM_ITEMS)[: random.integers(6, 16)].tolist()):
            events.append(f"u{user},m{item},{(1000 + 7 * (place % 3)) * DAY + 60 * place}")
    (root / "items.csv").write_text("\n".join(items) + "\n")
    (root / "interactions.csv").write_text("\n".join(events) + "\n")
    return root


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tables."""
    return write_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="session")
def train(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Train a run by strategy and without some towers, or return it where it is trained; all items are candidates."""
    runs_dir = tmp_path_factory.mktemp("runs")
    done: dict[str, Path] = {}

    def train_once(strategy: str = "full", *, without: str | None = None, **data: Any) -> Path:
        key = repr((strategy, without, data))
        if key not in done:
            source = {"_target_": "peftrec.data.readers.table.TableFiles", "root": str(tables), "windows": "all"}
            source |= {} if without == "image" else {"images": "images"}
            fixed_norm = {"fix_norm": True}  # a norm that new items must pass as well
            config = small_config(runs_dir, strategy, trainer={"max_epochs": 1}, user_encoder=fixed_norm)
            for tower in config["towers"].values():
                tower["architecture"] |= {"num_hidden_layers": 1}
            config["towers"] |= {without: None} if without else {}
            settings = settings_from_config({**config, "data": {**source, **data}})
            done[key] = train_run(settings).run_directory
        return done[key]

    return train_once


@pytest.fixture(scope="session")
def restore_once() -> Callable[[Path], RestoredRun]:
    """What `restore_run` returns, read once."""
    return functools.cache(restore_run)


@pytest.fixture(scope="session")
def restored(train: Train, restore_once: Callable[[Path], RestoredRun]) -> Callable[..., RestoredRun]:
    """Restore a run that `train` trained, once."""
    return lambda *arguments, **keywords: restore_once(train(*arguments, **keywords))


@pytest.fixture
def answers_from_restored(restore_once: Callable[[Path], RestoredRun], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let many questions of one run be answered without restoring it for each."""
    for name in ("loaded_run", "comparing"):
        monkeypatch.setattr(f"peftrec.serving.{name}.restore_run", restore_once)
