"""`peftrec measure` on small runs: what it writes, what it leaves alone, and what a kill leaves."""

import errno
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peftrec.cli import main as cli
from peftrec.errors import UserError
from peftrec.jobs.starting import ForkServer
from peftrec.jobs.supervisor import Supervisor
from peftrec.measuring import choosing, measuring
from peftrec.measuring.after_sweep import measure_sweep
from peftrec.measuring.choosing import runs_to_measure
from peftrec.measuring.measuring import measure
from peftrec.measuring.request import MeasureRequest
from peftrec.measuring.turns import TurnTakers
from peftrec.results.comparison import compare
from peftrec.results.record import read_record
from peftrec.results.runs import find_runs
from peftrec.training.run.pipeline import train_run
from servers import start_command
from small_runs import small_settings

pytestmark = pytest.mark.integration

ROUNDS = 5


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rows, one of them with two seeds; tests copy it where they write."""
    runs_dir = tmp_path_factory.mktemp("trained")
    for strategy, seed in (("id", 1), ("id", 2), ("iisan_cached", 1), ("frozen", 1)):
        train_run(small_settings(runs_dir, strategy, seed=seed, trainer={"max_epochs": 2}))
    return runs_dir / "small"


@pytest.fixture(autouse=True)
def _server(job_server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let measured processes be forked from the worker's server, and take short turns."""
    monkeypatch.setattr(choosing, "SECONDS_OF_A_TURN", 0.02)


@pytest.fixture
def folder(trained: Path) -> Iterator[Path]:
    """The runs, with the records as training left them."""
    before = contents(trained)
    yield trained
    for name, content in before.items():
        (trained / name / "record.json").write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.parent.name: file.read_bytes() for file in folder.rglob("record.json")}


def request(folder: Path, **changes: Any) -> MeasureRequest:
    return MeasureRequest(folder=folder, rounds=ROUNDS, **{"width": 0.0, **changes})


def test_records_hold_rounds_beside_what_training_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(folder)
    parts = measure(request(folder))
    chosen = runs_to_measure(folder)
    assert [run.record.side_by_side for run in chosen] == parts
    assert {part.measurement for part in parts} == {parts[0].measurement}
    for run, part in zip(chosen, parts, strict=True):
        assert len(part.rounds) == ROUNDS
        assert part.members == [each.name for each in chosen]
        assert part.conditions["threads"] == run.record.latest.conditions["threads"]
        assert part.code_hash == run.record.code_hash
        assert part.ratio_low <= part.ratio <= part.ratio_high
        trained = run.record.efficiency
        assert trained is not None
        assert trained.peak_memory_bytes is not None
        assert part.memory_source == trained.memory_source == "cpu_allocator"
        # Of the first batches of the epoch in place of all.
        assert part.peak_memory_bytes == pytest.approx(trained.peak_memory_bytes, rel=0.1)
        for turn in part.rounds:
            assert turn.seconds_per_step > 0
            assert turn.num_steps == part.num_steps * part.num_passes
            assert turn.machine is not None
    for number in range(ROUNDS):
        assert sorted(part.rounds[number].place for part in parts) == list(range(len(parts)))
    assert np.prod([part.ratio for part in parts]) == pytest.approx(1.0)
    after = contents(folder)
    for name in before:
        kept, found = (json.loads(each[name]) for each in (before, after))
        assert {**found, "side_by_side": None} == kept
    unmeasured = [name for name in before if after[name] == before[name]]
    assert len(unmeasured) == 1  # the second seed
    comparison = compare(find_runs(folder))
    assert comparison.seconds.source == "side_by_side"
    monkeypatch.setattr(measuring, "Supervisor", None)  # nothing is started any more
    assert measure(request(folder)) == parts


def test_it_measures_again_what_changed(folder: Path) -> None:
    first = measure(request(folder))
    for changes in ({"again": True}, {"rounds": ROUNDS + 1}):
        again = measure(MeasureRequest(**{"folder": folder, "rounds": ROUNDS, "width": 0.0, **changes}))
        assert again[0].measurement != first[0].measurement


def test_blocks_that_do_not_fit_together_are_linked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "memory_of", lambda runs: ({run.name: 2 for run in runs}, 4))
    parts = measure(request(folder))
    by_blocks = sorted((sorted({turn.block for turn in part.rounds}) for part in parts), key=len)
    assert by_blocks == [[0], [1], [0, 1]]
    (reference,) = {part.reference for part in parts}
    assert {part.reference for part in parts if len({turn.block for turn in part.rounds}) > 1} == {reference}
    assert compare(find_runs(folder)).seconds.source == "side_by_side"


def test_a_process_that_dies_is_named_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    before = contents(folder)
    runs = runs_to_measure(folder)
    with Supervisor() as supervisor, TurnTakers(supervisor, tmp_path, num_steps=2) as starting:
        supervisor.server.start()
        takers = starting.start(runs, {run.name: 1 for run in runs})
        takers[1].take()
        os.kill(takers[1].running.process.pid, signal.SIGKILL)
        with pytest.raises(UserError, match=f"{runs[1].name}: its process ended by SIGKILL; the system may have run"):
            takers[1].take()
        assert takers[0].take().epochs[0].num_steps == 2  # the others still stand
    assert contents(folder) == before


def test_data_that_is_another_now_is_named(folder: Path) -> None:
    for path in folder.rglob("record.json"):
        record = json.loads(path.read_bytes())
        record["provenance"]["data_hash"] = "another"
        path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"not what this run was trained on any more: .*data_hash differs"):
        measure(request(folder))


@pytest.mark.slow
def test_a_kill_leaves_every_record_as_it_was(folder: Path) -> None:
    measure(request(folder))
    before = contents(folder)
    running = start_command(["measure", str(folder), "rounds=1000", "width=0", "again=true"])
    assert running.output is not None
    for line in running.output:
        if line.startswith("round 5 of 1000"):
            break
    running.signal(signal.SIGKILL)
    assert running.process.wait() == -signal.SIGKILL
    running.close()
    assert contents(folder) == before
    assert {read_record(run.folder).status for run in find_runs(folder)} == {"success"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rounds=2"], "an interval needs 5 rounds"),
        (["rounds=many"], "rounds=many: expected a whole number"),
        (["width=-1"], "expected how far"),
        (["again=yes"], "expected true or false"),
        (["another"], "expected one RUNS_DIR"),
    ],
)
def test_wrong_words(words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["measure", str(tmp_path), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "measure=sometimes"], "measure=sometimes: expected auto, always or never"),
        (["measure=alwys"], "measure=alwys: expected auto, always or never; did you mean always?"),
        (["measure=always"], "-m"),
    ],
)
def test_a_sweep_says_when_it_measures(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", *words, "strategy=id"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["measure=never"], ["measure=auto"]])
def test_one_run_is_measured_with_no_other_whatever_is_said_of_sweeps(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[list[str]] = []
    monkeypatch.setattr("peftrec.cli.train.train", lambda overrides: trained.append(overrides) or 0)
    assert cli.main(["train", *words, "strategy=id"]) == 0
    assert trained == [["strategy=id"]]


class _Sweep:
    """What a sweep of a folder leaves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.submitted: dict[int, object] = {}
        self.outcomes = [type("Outcome", (), {"status": "success"})()]
        self.experiments = [directory]


@pytest.mark.parametrize(
    ("when", "is_disturbed", "expected"),
    [("auto", True, 1), ("auto", False, 0), ("always", False, 1), ("never", True, 0)],
)
def test_a_sweep_measures_where_its_times_were_disturbed(
    when: Any, is_disturbed: bool, expected: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[MeasureRequest] = []
    monkeypatch.setattr("peftrec.measuring.after_sweep.measure", asked.append)
    monkeypatch.setattr(
        "peftrec.measuring.after_sweep.of_training", lambda record: is_disturbed and record.strategy == "id"
    )
    sweep: Any = _Sweep(folder)
    measure_sweep(sweep, when)
    assert [each.folder for each in asked] == [folder] * expected
    sweep.submitted = {0: object()}
    measure_sweep(sweep, when)
    assert len(asked) == expected


def test_records_that_cannot_be_written_are_named_before_anything_is_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(place: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(place))

    monkeypatch.setattr(measuring, "try_writing", fail)
    monkeypatch.setattr(measuring, "turns_of", lambda _: pytest.fail("began"))
    with pytest.raises(UserError) as caught:
        measure(request(folder))
    first = runs_to_measure(folder)[0].folder
    assert str(caught.value).startswith(
        f"{first}: cannot be written (Permission denied), and costs go into the records"
    )
    assert str(caught.value).endswith(f"cp -r {folder} COPY && peftrec measure COPY")
