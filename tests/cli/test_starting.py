"""What must answer at once imports nothing that is slow: composing, refusing, reporting."""

import json
import os
import subprocess
import sys

import pytest

from made_up_records import write_example_records

HEAVY = ("torch", "transformers", "peft", "lightning", "wandb")
PROGRAM = """
import contextlib, io, json, sys
from peftrec.cli.main import main

for words in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(words)
    print(json.dumps({"status": status, "said": said.getvalue(), "modules": sorted(sys.modules)}))
"""
CASES = [
    (["train", "strategy=lorra"], 2, "did you mean lora"),
    (["train", "strategy.rnak=4", "strategy=lora"], 2, "did you mean strategy.rank?"),
    (["train", "-m", "strategy=lora", "batch_size=8,none"], 2, "batch_size"),
    (["train", "trainer.devices=2", "trainer.accelerator=gpu"], 2, "0 CUDA devices are visible"),
    (["train", "strategy=iisan", "--cfg"], 0, "_target_: peftrec.strategies.iisan.IISAN"),
    (["plan", "memory=24"], 2, "for example 24GiB"),
    (["report", "example"], 0, "seconds_per_epoch"),
    (["report", "run=example"], 2, "run=example: write example"),
    *(
        ([verb, "run=nowhere", *words], 2, "nowhere: no such record; is nowhere the folder of a run")
        for verb, *words in (
            ("evaluate",),
            ("recommend", "user=1"),
            ("recommend", "users=all", "to=all.parquet"),
            ("retrieval",),
            ("export",),
            ("coldstart",),
            ("groups",),
            ("serve", "port=0"),
        )
    ),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str, set[str]]]:
    """For each case, given one after the other in one process: status, what was said, and the slow packages that were
    imported until then."""
    folder = tmp_path_factory.mktemp("starting")
    write_example_records(folder, seeds=1, num_users=20).rename(folder / "example")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([words for words, _, _ in CASES]),
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [(each["status"], each["said"], {*each["modules"]} & {*HEAVY}) for each in found]


@pytest.mark.integration
@pytest.mark.parametrize("number", range(len(CASES)), ids=[" ".join(words) for words, _, _ in CASES])
def test_composing_and_refusing_and_reporting_import_nothing_slow(
    number: int, answers: list[tuple[int, str, set[str]]]
) -> None:
    _, status, said = CASES[number]
    found, text, heavy = answers[number]
    assert (found, heavy) == (status, set()), text
    assert said in text
