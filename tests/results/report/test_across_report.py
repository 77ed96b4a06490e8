"""`peftrec report DIR_A DIR_B ...`: a report each, and ranks across them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from peftrec.cli.report import main
from peftrec.errors import RecordError, SettingsError, UserError
from peftrec.results.asked import Asked
from peftrec.results.paired_tests import holm
from peftrec.results.record import read_record, write_record
from peftrec.results.report.across_report import FOLDER, build_across_report
from peftrec.results.runs import find_runs
from peftrec.results.tested_text import sentences

KEPT = ("iisan", "lora", "id")
pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("undrawn")]


@pytest.fixture
def data_sets(example: Path, tmp_path: Path) -> Callable[[int], list[Path]]:
    """Copies of three strategies of the example, each said to be of data of its own; `adapter` stands in the first."""

    def copy(number: int) -> list[Path]:
        folders = [tmp_path / "sets" / f"set{place}" for place in range(number)]
        for place, folder in enumerate(folders):
            for name in (*KEPT, *(("adapter",) if place == 0 else ())):
                for seed in (1, 2):
                    shutil.copytree(example / f"{name}-example{seed}", folder / f"{name}-example{seed}")
            for run in find_runs(folder):
                provenance = run.record.provenance.model_copy(update={"data_hash": f"data{place}"})
                write_record(run.record.model_copy(update={"provenance": provenance}), run.folder)
        return folders

    return copy


def test_two_data_sets_have_ranks_and_no_test(
    data_sets: Callable[[int], list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    folders = data_sets(2)
    assert main([*map(str, folders), "margin=0.05"]) == 0
    printed = capsys.readouterr().out
    assert "No test over data sets: signed ranks of fewer than 6" in printed
    assert "Left out, because not every data set has them: adapter." in printed
    assert all((folder / "report" / "index.html").is_file() for folder in folders)
    directory = folders[0].parent / FOLDER
    assert {file.name for file in directory.iterdir()} == {
        *("ranks.csv", "signed_ranks.csv", "differences.csv", "across.md", "index.html")
    }
    ranks = pd.read_csv(directory / "ranks.csv")
    assert set(ranks["strategy"]) == set(KEPT)
    assert ranks["friedman_p"].isna().all()
    assert "tpme" not in ranks.columns
    assert ranks.groupby("metric")["mean_rank"].sum().tolist() == [6.0, 6.0]
    assert 'href="../set1/report/index.html"' in (directory / "index.html").read_text()
    assert "is averaged over none" in (directory / "across.md").read_text()


def test_differences_are_corrected_over_all_data_sets(data_sets: Callable[[int], list[Path]]) -> None:
    report = build_across_report(data_sets(2))
    pairs = report.across.pairs
    assert pairs["data_set"].value_counts().to_dict() == {"set0": 12, "set1": 6}
    assert pairs["p_holm"].tolist() == holm(pairs["p_value"].tolist())
    own = report.reports["set1"].tested.pairs
    assert (pairs.loc[pairs["data_set"] == "set1", "p_holm"].to_numpy() >= own["p_holm"].to_numpy()).all()


def test_six_data_sets_are_tested(data_sets: Callable[[int], list[Path]]) -> None:
    report = build_across_report(data_sets(6), asked=Asked(margin=0.01))
    text = report.contents["across.md"].decode()
    assert "Friedman's test with Iman and Davenport's F, p < 0.0001" in text
    assert "1.35 apart differ (Nemenyi" in text  # 2.343 sqrt(3 4 / 36)
    assert len(report.across.signed_ranks) == 6
    assert report.across.signed_ranks["p_value"].tolist() == pytest.approx([2 / 2**6] * 6)


def test_the_same_data_twice_is_refused(data_sets: Callable[[int], list[Path]], tmp_path: Path) -> None:
    (folder,) = data_sets(1)
    again = shutil.copytree(folder, tmp_path / "again")
    with pytest.raises(RecordError, match="set0 and again are of the same data"):
        build_across_report([folder, again])
    with pytest.raises(RecordError, match="or lies in it"):
        build_across_report([folder, folder.parent])
    with pytest.raises(RecordError, match="or lies in it"):
        build_across_report([folder, folder])


def test_folders_of_one_name_are_told_apart(data_sets: Callable[[int], list[Path]]) -> None:
    folders = data_sets(2)
    moved = [folder.parent.parent / folder.name / "runs" for folder in folders]
    for folder, place in zip(folders, moved, strict=True):
        shutil.copytree(folder, place)
    assert list(build_across_report(moved).reports) == [str(folder) for folder in moved]


def test_a_data_set_without_ranks_says_so(data_sets: Callable[[int], list[Path]]) -> None:
    folders = data_sets(2)
    (folders[1] / "lora-example1" / "ranks.parquet").unlink()
    report = build_across_report(folders)
    assert "set1: No per-user tests" in report.to_terminal()
    assert set(report.across.pairs["data_set"]) == {"set0"}


def test_names_from_records_are_escaped(data_sets: Callable[[int], list[Path]]) -> None:
    folders = data_sets(2)
    for folder in folders:
        for run in find_runs(folder / "id-example1"):
            write_record(read_record(run.folder).model_copy(update={"strategy": "<b>x</b>"}), run.folder)
    page = build_across_report(folders).contents["index.html"].decode()
    assert "<b>" not in page
    assert "&lt;b&gt;x" in page


@pytest.mark.parametrize("word", ["margin=5", "margin=0", "wish=much", "margin=nan"])
def test_a_margin_is_a_fraction(word: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"{word}: expected a difference of hr@10 or ndcg@10"):
        main([str(tmp_path), word])


@pytest.mark.parametrize("word", ["--published=iisan", "tpme.write_reference=file.json"])
def test_what_is_of_one_folder_is_refused_for_several(word: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is of one folder; report that folder by itself"):
        main([str(tmp_path / "a"), str(tmp_path / "b"), word])


def test_a_mistyped_key_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"magrin=0.005: unknown to peftrec report; did you mean margin\?"):
        main([str(tmp_path), "magrin=0.005"])


def test_the_verdict_stands_in_every_output(data_sets: Callable[[int], list[Path]]) -> None:
    report = build_across_report(data_sets(2), asked=Asked(margin=0.3, wish=0.1)).reports["set1"]
    written = {name: report.contents[name].decode() for name in ("significance.csv", "significance.md", "index.html")}
    assert all("equivalent" in text for text in written.values())
    assert "seeds for 0.1" in written["significance.md"]
    assert "hr@10: of 3 pairs" in report.to_terminal()
    assert not report.tested.pairs["seeds_for_wish"].isna().all()
    alone = replace(report.tested, pairs=report.tested.pairs.groupby("metric").head(1))
    said = sentences(alone)
    assert any("hr@10: of 1 pair " in each for each in said)
    (smallest,) = [each for each in said if each.startswith("Smallest difference")]
    assert " to " not in smallest, "both ends of the range are one pair's"


def test_one_seed_speaks_of_these_seeds(data_sets: Callable[[int], list[Path]]) -> None:
    folders = data_sets(2)
    for folder in folders:
        shutil.rmtree(folder / "id-example2")
    report = build_across_report(folders).reports["set1"]
    assert "`these seeds`: a strategy has one seed" in report.to_terminal()
    claims = report.tested.pairs.groupby("strategy_a")["claim"].unique().to_dict()
    assert {name: list(value) for name, value in claims.items()} == {
        "id": ["these seeds"],
        "iisan": ["any seeds"],
    }
