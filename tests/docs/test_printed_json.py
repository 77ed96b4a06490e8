"""What verbs print as JSON, and what their pages say of it; of plans see tests/planning/test_tables.py."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from markdown_pages import REPOSITORY

from described_json import described_keys, keys_of
from peftrec.cli.arguments import JSON
from peftrec.cli.main import VERBS, grammar_of
from peftrec.cold_start.neighbours_of_run import ChosenWeight
from peftrec.doctor.diagnosis import Diagnosis
from peftrec.doctor.machine import Device, Machine, Place
from peftrec.doctor.packages import Extra, Package
from peftrec.outputs.safe_text import for_json
from peftrec.profiles.evaluation import Outcome, Protocol
from peftrec.serving.comparing import BASELINE, RetrievalTable
from peftrec.serving.recommend_file import Written
from peftrec.serving.recommendations import Interest, Reason, Recommendation, Recommendations

CHOSEN = ChosenWeight(weight=0.25, monitor="val/ndcg@10", validation={0.0: 0.1, 0.25: 0.2})


def a_list() -> dict[str, Any]:
    reason = Reason(item="i1", title="lamp", product=0.5)
    best = Recommendation(item="i2", title=None, score=0.9, is_new=False, interest=1, reasons=(reason,))
    answer = Recommendations(
        run="runs/x",
        user="u1",
        group=None,
        num_steps=3,
        content_neighbours=CHOSEN,
        interests=(Interest(item="i1", title="lamp", importance=0.5, size=2),),
        recommendations=(best,),
    )
    return asdict(answer)


def a_file_of_lists() -> dict[str, Any]:
    return asdict(Written(num_users=2, num_rows=20, num_skipped=0, num_repeated=0, content_neighbours=CHOSEN))


def a_diagnosis() -> dict[str, Any]:
    package = Package(name="torch", needed=">=2.6", installed=None)
    machine = Machine(
        devices=(Device(kind="cpu", name="a CPU", memory_bytes=None, computes_bfloat16=None),),
        processors=2,
        threads=2,
        threads_are_chosen=False,
        memory_bytes=2**30,
        available_bytes=2**29,
        places=(Place(what="runs", folder="/x", is_writable=True, free_bytes=2**30),),
        variables={"NAME": "1"},
    )
    return Diagnosis(
        version="1",
        python=package,
        packages=[package],
        extras=[Extra(name="web", verbs={"VERB": "all of it"}, packages=[package])],
        machine=machine,
        problems=[],
        advice=[],
    ).to_json()


def a_comparison() -> dict[str, Any]:
    outcome = Outcome(
        relevance=np.array([[0.5, 0.25], [1.0, 0.5]]),
        recall=np.array([[0.25, 0.25], [0.5, 0.0]]),
        num_users=2,
        num_users_left_out=0,
        num_days=2,
        num_targets=4,
        mean_interests=1.0,
        mean_queries=1.0,
        mean_candidates=3.0,
    )
    return RetrievalTable(
        run="runs/x",
        num_items=9,
        protocol=Protocol(),
        outcomes={BASELINE: outcome, "pinnersage": outcome},
        neighbour_recall=None,
        seed=1,
    ).to_json()


def general(key: str) -> str:
    """Return a key as a page writes those of which there are several alike."""
    key = re.sub(r"(?<=\.validation\.)[\d.]+$", "WEIGHT", key)
    return re.sub(r"(?<=^profiles\[\]\.)(relevance|recall)", "METRIC", key)


DESCRIBED: list[tuple[str, str, str, Callable[[], dict[str, Any]]]] = [
    ("recommend", "recommending.md", "key of a list for one user", a_list),
    ("recommend", "recommending.md", "key of `users=FILE`", a_file_of_lists),
    ("doctor", "command_line.md", "key of a diagnosis", a_diagnosis),
    ("retrieval", "recommending.md", "key of a comparison", a_comparison),
]


@pytest.mark.parametrize(("verb", "page", "heading", "content"), DESCRIBED, ids=[each[2] for each in DESCRIBED])
def test_the_page_describes_every_key_that_is_printed_and_no_other(
    verb: str, page: str, heading: str, content: Callable[[], dict[str, Any]]
) -> None:
    printed = json.loads(for_json(content()))
    assert {general(key) for key in keys_of(printed)} == described_keys(page, heading)
    assert f"docs/{page}" in grammar_of(verb).help.partition("--json  ")[2].partition("\n")[0]


def test_every_verb_that_prints_json_is_described() -> None:
    assert {verb for verb in VERBS if JSON in grammar_of(verb).flags} == {*(each[0] for each in DESCRIBED), "plan"}


def test_what_verbs_print_is_written_in_one_place() -> None:
    """There, letters of all alphabets are shown as they are, and what could move a cursor is not."""
    sources = [*(REPOSITORY / "src" / "peftrec" / "cli").glob("*.py"), REPOSITORY / "src/peftrec/planning/tables.py"]
    assert [file.name for file in sources if re.search(r"\bprint\(json\.|return json\.dumps", file.read_text())] == []
