"""Costs of different conditions give no TPME, key by key and with a remedy; what says nothing about a run is no key."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from made_up_records import write_example_records
from peftrec.cli.main import main
from peftrec.errors import RecordError
from peftrec.results.conditions import conditions_of, differing_conditions, of_all
from peftrec.results.record import read_record, write_record
from peftrec.results.tpme import Cost, tpme

pytestmark = pytest.mark.integration


def cost(seconds: float, **conditions: str) -> Cost:
    return Cost(
        seconds_per_epoch=seconds,
        trainable_parameters=int(seconds),
        peak_memory_bytes=int(seconds),
        device="one",
        comparison_hash="same",
        conditions=conditions,
    )


def test_other_conditions_are_refused_by_key_and_with_a_remedy() -> None:
    with pytest.raises(RecordError, match=r"threads \(1: full; 2: lora\).*conditions=mixed") as refused:
        tpme({"full": cost(3, threads="1", precision="a"), "lora": cost(2, threads="2", precision="a")})
    assert "precision" not in str(refused.value)


def test_a_condition_that_one_lacks_is_compared_with_nothing() -> None:
    assert tpme({"full": cost(3, threads="1"), "iisan": cost(2, threads="1", placement='"host"')})["full"] == 1.0


def test_seeds_of_one_row_that_differ_say_so(tmp_path: Path) -> None:
    folder = write_example_records(tmp_path)
    first, second = (read_record(folder / f"lora-example{seed}") for seed in (1, 2))
    first.latest.conditions = {"threads": 1, "hidden_states.placement": None}
    second.latest.conditions = {"threads": 2}
    assert of_all([first, second]) == {"threads": "1 and 2"}
    assert conditions_of(first) == {"threads": "1"}
    assert differing_conditions({"a": conditions_of(first), "b": conditions_of(second)}) == ["threads (1: a; 2: b)"]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    folder = write_example_records(tmp_path)
    for run in folder.iterdir():
        record = read_record(run)
        record.latest.conditions = {"trainer.num_workers": 4 if record.strategy == "iisan" else 0}
        write_record(record, run)
    return folder


def test_a_report_of_mixed_conditions_has_no_tpme_unless_asked_for(
    mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(mixed)]) == 0
    assert "No TPME: TPME of one set: costs were measured under different conditions: trainer.num_workers" in (
        capsys.readouterr().out
    )
    assert main(["report", str(mixed), "conditions=mixed"]) == 0
    shown = capsys.readouterr().out
    assert "No TPME" not in shown
    notes = (mixed / "report" / "table.md").read_text().split("## Notes\n\n")[1]
    assert notes.startswith("- Costs of different conditions stand side by side, as asked for"), "before all others"
    assert main(["report", str(mixed), "conditions=any"]) != 0
    assert "expected same or mixed" in capsys.readouterr().err


def test_with_a_reference_one_more_strategy_changes_no_value() -> None:
    reference = {"full": cost(10), "iisan": cost(2)}
    alone = tpme({"lora": cost(4)}, reference=reference)
    beside = tpme({"lora": cost(4), "cheap": cost(1), "dear": cost(20)}, reference=reference)
    assert alone["lora"] == beside["lora"] == pytest.approx(0.25)
    assert beside["cheap"] == pytest.approx(-0.125)
    assert beside["dear"] == pytest.approx(2.25)
    assert tpme(reference, reference=reference) == tpme(reference), "of the reference itself, it is the set's own"


def test_a_reference_of_another_device_is_refused() -> None:
    reference = {name: replace(cost(value), device="other") for name, value in (("full", 10.0), ("iisan", 2.0))}
    with pytest.raises(RecordError, match=r"different devices.*full of the reference"):
        tpme({"lora": cost(4)}, reference=reference)


def test_what_a_report_writes_as_a_reference_it_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, file = write_example_records(tmp_path), tmp_path / "reference.yaml"
    assert main(["report", str(folder), f"tpme.write_reference={file}"]) == 0
    table = pd.read_csv(folder / "report" / "table.csv")
    assert main(["report", str(folder), f"tpme.reference={file}"]) == 0
    fixed = pd.read_csv(folder / "report" / "table.csv")
    interval = ["tpme_ci_low", "tpme_ci_high"]  # the reference's own scatter is no part of it
    assert_frame_equal(fixed.drop(columns=interval), table.drop(columns=interval))
    assert not fixed[interval].equals(table[interval])
    assert f"fixed in {file}" in capsys.readouterr().out
    file.write_text(file.read_text().replace("seconds_per_epoch", "seconds"))
    assert main(["report", str(folder), f"tpme.reference={file}"]) != 0
    error = capsys.readouterr().err
    assert "seconds" in error
    assert "tpme.write_reference=FILE" in error
    assert main(["report", str(folder), "tpme.reference=nowhere.yaml"]) != 0
    assert "tpme.write_reference=nowhere.yaml" in capsys.readouterr().err


def test_a_small_set_is_said_to_be_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_example_records(tmp_path)
    for run in folder.iterdir():
        if run.name.split("-")[0] not in ("lora", "fft"):
            for file in run.iterdir():
                file.unlink()
    assert main(["report", str(folder)]) == 0
    assert "Of two strategies each quantity is 0 for one and 1 for the other" in capsys.readouterr().out
