"""The table as LaTeX: human names, marks, escaping, and that it fits the page."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from made_up_records import write_example_records
from peftrec.results.comparison import Comparison, compare
from peftrec.results.latex import ONE_COLUMN, TWO_COLUMNS, Layout, to_latex
from peftrec.results.latex_cells import worse_than_best
from peftrec.results.latex_text import escape_latex, text_width
from peftrec.results.pscp import PAPER_CONSTANTS, pscp_line
from peftrec.results.runs import Run, find_runs
from peftrec.results.significance import COLUMNS, compare_pairs
from peftrec.results.tables import best_cells, second_cells

NO_TESTS = pd.DataFrame(columns=list(COLUMNS))
COMPILER = shutil.which("pdflatex") or shutil.which("tectonic")
DOCUMENT = r"""\documentclass[%s]{article}
\usepackage{booktabs}
\begin{document}
%s
\end{document}
"""
LONG = "a strategy of many words and an_unbreakably_long_key=with_a_value_that_is_long_too"


@pytest.fixture
def comparison(runs: list[Run]) -> Comparison:
    return compare(runs)


def pairs_tested(comparison: Comparison) -> pd.DataFrame:
    return compare_pairs({row.strategy: [run.folder for run in row.runs] for row in comparison.strategies})


def body_of(text: str) -> str:
    """Return the rows, without the places where a name may break."""
    return text[text.index(r"\toprule") : text.index(r"\bottomrule")].replace(r"\allowbreak{}", "")


@pytest.mark.parametrize("layout", [ONE_COLUMN, TWO_COLUMNS])
def test_it_is_balanced_and_escaped(comparison: Comparison, layout: Layout) -> None:
    text = to_latex(comparison, pairs_tested(comparison), layout)
    begun, ended = re.findall(r"\\begin\{([\w*]+)\}", text), re.findall(r"\\end\{([\w*]+)\}", text)
    assert sorted(begun) == sorted(ended) == ["flushleft", layout.environment, "tabular"]
    assert len(re.findall(r"(?<!\\)\{", text)) == len(re.findall(r"(?<!\\)\}", text))
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0
    rows = [line for line in body_of(text).splitlines() if line.endswith(r"\\")]
    assert len(rows) == 2 + len(comparison.rows)
    assert {line.count("&") for line in rows} == {6}
    assert not re.search(r"(?<!\\)[_%#]", body_of(text))
    assert text.isascii()


def test_the_head_says_what_and_in_which_unit(comparison: Comparison) -> None:
    names, units = body_of(to_latex(comparison, NO_TESTS)).splitlines()[1:3]
    assert names == r"Method & HR@10 & NDCG@10 & Time & Trainable & Memory & TPME \\"
    assert units == r" &  &  & s/epoch & million & MiB &  \\"


def test_no_note_explains_what_is_no_column(comparison: Comparison) -> None:
    told = replace(comparison, protocol=(*comparison.protocol, pscp_line(PAPER_CONSTANTS)))
    assert to_latex(told, NO_TESTS) == to_latex(comparison, NO_TESTS)


def test_no_name_of_a_key_or_of_a_yaml_is_left(runs: list[Run]) -> None:
    for run in runs:
        if run.record.strategy == "iisan":
            run.record.strategy = "iisan_cached"
            run.record.config["strategy"] = {"display_name": "IISAN (cached)"}
    text = to_latex(compare(runs), NO_TESTS)
    assert "IISAN (cached) & " in text
    assert r"iisan\_cached" not in text
    assert r"\_bytes" not in text
    assert "TPME is relative to the set it is normalised over: adapter, bitfit, fft, frozen, id, IISAN (cached)" in text


def test_in_a_list_of_rows_a_comma_is_in_parentheses_or_between_two(runs: list[Run]) -> None:
    encoders = {"iisan": "LiGR", "lora": "GRU4Rec", "adapter": "LiGR", "bitfit": "GRU4Rec"}
    for run in runs:
        encoder = encoders.get(run.record.strategy)
        if encoder is not None:
            is_iisan = run.record.strategy in ("iisan", "lora")
            run.record.strategy = run.record.config["strategy_name"] = "iisan_cached" if is_iisan else "id"
            run.record.config["strategy"] = {"display_name": "IISAN (cached)" if is_iisan else "Item ids"}
            run.record.config["user_encoder"] = {"_target_": f"made_up.{encoder}"}
    runs = [
        run for run in runs if run.record.strategy in ("iisan_cached", "id") and "user_encoder" in run.record.config
    ]
    text = to_latex(compare(runs), NO_TESTS)
    every = "id (GRU4Rec), id (LiGR), IISAN (cached, GRU4Rec), IISAN (cached, LiGR)"
    assert f"TPME is relative to the set it is normalised over: {every}. Lower" in text


def test_strategies_without_a_name_are_called_by_their_yaml(runs: list[Run]) -> None:
    for run in runs:
        if run.record.strategy == "lora":
            run.record.strategy = "my_own_way"
    assert "My own way & " in to_latex(compare(runs), NO_TESTS)


def test_names_that_would_be_one_stay_apart(runs: list[Run]) -> None:
    for run in runs:
        if run.record.strategy in ("lora", "fft"):
            run.record.config["strategy"] = {"display_name": "The same"}
    body = body_of(to_latex(compare(runs), NO_TESTS))
    assert "The same" not in body
    assert "1.0em lora & " in body
    assert "1.0em fft & " in body


def test_best_is_bold_and_second_underlined(comparison: Comparison) -> None:
    body = body_of(to_latex(comparison, NO_TESTS))
    time = {line.split(" & ")[0].rpartition(" ")[2]: line.split(" & ")[3] for line in body.splitlines() if "&" in line}
    assert time["Id"] == r"\textbf{1.98}"
    assert time["Frozen"] == r"\underline{8.91}"
    assert time["Lora"] == "51.5"
    assert time["Popularity"] == ""


def test_seconds_stand_only_where_there_is_a_best(comparison: Comparison) -> None:
    best, second = best_cells(comparison), second_cells(comparison)
    assert (second.any() == best.any()).all()
    assert not (second & best).any(axis=None)


def test_marks_are_of_those_that_a_test_tells_from_the_best(tmp_path: Path) -> None:
    """Five seeds, because a test over users and seeds tells little of two."""
    comparison = compare(find_runs(write_example_records(tmp_path, seeds=5, num_users=200)))
    tests = pairs_tested(comparison)
    best = next(
        row.strategy for row, is_best in zip(comparison.rows, best_cells(comparison)["hr@10"], strict=True) if is_best
    )
    of_best = tests[(tests["metric"] == "hr@10") & tests["is_significant"]]
    expected = {
        one if other == best else other
        for one, other in zip(of_best["strategy_a"], of_best["strategy_b"], strict=True)
        if best in (one, other)
    }
    assert "id" in expected
    found = worse_than_best(comparison, tests)
    assert {row for row, metric in found if metric == "hr@10"} == expected
    text = to_latex(comparison, tests)
    assert body_of(text).count(r"\rlap{$^{*}$}") == len(found)
    assert "corrected by Holm" in text
    assert "$^{*}$" not in to_latex(comparison, NO_TESTS)


def test_a_status_takes_the_place_of_figures(experiment: Path, change: Callable[..., None]) -> None:
    for seed in (1, 2):
        change(experiment / f"fft-example{seed}", status="out_of_memory", error="50% of {memory}_gone", evaluation=None)
    text = to_latex(compare(find_runs(experiment)), NO_TESTS)
    assert r"Fft & \multicolumn{6}{l}{\emph{out of memory}} \\" in body_of(text)
    assert r"50\% of \{memory\}\_gone" in text


def test_every_special_character_is_escaped() -> None:
    assert escape_latex('a_b & 5% #1 {x} $ ~ ^ \\ < > | " ü') == (
        r"a\_b \& 5\% \#1 \{x\} \$ \textasciitilde{} \textasciicircum{} \textbackslash{} "
        r"\textless{} \textgreater{} \textbar{} '' [U+00FC]"
    )


def hostile(runs: list[Run]) -> Comparison:
    """Rows with long names of every kind of character, one of them without figures."""
    for run in runs:
        run.record.experiment = r"100% \input{x} $y$ _z_ ñ"
        if run.record.strategy == "lora":
            run.record.config["strategy"] = {"display_name": LONG}
        if run.record.strategy == "fft":
            run.record.config["strategy"] = {"display_name": r"\end{tabular} & # $ % {_^~ 模型"}
        if run.record.strategy == "id":
            run.record.status, run.record.error = "out_of_memory", r"\undefined % {"
    return compare(runs)


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="needs pdflatex (apt-get install texlive-latex-recommended) or tectonic")
@pytest.mark.parametrize(("layout", "options"), [(ONE_COLUMN, "10pt"), (TWO_COLUMNS, "10pt,twocolumn")])
@pytest.mark.parametrize("is_hostile", [False, True])
def test_it_compiles_and_fits_the_page(
    runs: list[Run], layout: Layout, options: str, is_hostile: bool, tmp_path: Path
) -> None:
    comparison = hostile(runs) if is_hostile else compare(runs)
    text = to_latex(comparison, pairs_tested(comparison), layout)
    (tmp_path / "page.tex").write_text(DOCUMENT % (options, text))
    assert COMPILER is not None
    flags = ["-interaction=nonstopmode", "-halt-on-error"] if "pdflatex" in COMPILER else []
    done = subprocess.run(
        [COMPILER, *flags, "page.tex"], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "page.pdf").stat().st_size > 0
    assert "Overfull" not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex, which says how wide a text is")
def test_widths_are_never_reckoned_too_small(tmp_path: Path) -> None:
    texts = ["".join(map(chr, range(33, 127))), "IISAN (cached), MiniLM-L6", "0.1234", LONG, "MWm%@"]
    measures = "\n".join(
        rf"\setbox0\hbox{{{escape_latex(text)}}}\typeout{{width \the\wd0 \space of \the\fontdimen6\font}}"
        for text in texts
    )
    (tmp_path / "page.tex").write_text(DOCUMENT % ("10pt", rf"\footnotesize {measures}"))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "page.tex"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    found = [float(width) / float(em) for width, em in re.findall(r"width ([\d.]+)pt of ([\d.]+)pt", done.stdout)]
    assert len(found) == len(texts)
    for text, width in zip(texts, found, strict=True):
        assert width <= text_width(text) < 1.3 * width, text
