"""What is tested is chosen by options (see `options`): other kinds are not collected, and trials are made by name."""

from pathlib import Path

import pytest

from peftrec.testing.parts import CHOSEN, KINDS, kind_of, one_of_each_class
from peftrec.testing.small_towers import SMALL_PAIRS

pytest_plugins = ["peftrec.testing.options"]

BOTH, *SINGLE = SMALL_PAIRS


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out kinds of which nothing is tested; `None` leaves the rest to others."""
    kind = kind_of(collection_path)
    return True if kind in KINDS and not config.stash[CHOSEN].names[kind] else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a trial of each part that was chosen; a strategy's on several pairs of towers.

    The laws of one trial run one after another, so that they share what they build and train. Of this package's
    strategies, those of one class meet a single tower once: what a single tower changes is in the class.
    """
    if "trial" not in metafunc.fixturenames:
        return
    chosen, kind = metafunc.config.stash[CHOSEN], kind_of(metafunc.definition.path)
    names = chosen.names[kind]
    cases: list[tuple[str, ...]] = [(name,) for name in names]
    if kind == "strategy":
        alone = names if chosen.are_users else one_of_each_class(kind, names)
        cases = [*((name, BOTH) for name in names), *((name, pair) for pair in SINGLE for name in alone)]
    trials = [
        pytest.param(
            (chosen.overrides, *case),
            id="-".join(case),
            marks=[pytest.mark.integration] if case[-1] in SINGLE and not chosen.are_users else [],
        )
        for case in cases
    ]
    metafunc.parametrize("trial", trials, indirect=True, scope="module")
