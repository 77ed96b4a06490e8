"""What must answer at once imports nothing that is slow: composing, refusing, reporting."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from made_up_records import write_example_records

HEAVY = ("torch", "transformers", "peft", "lightning", "wandb")
PROGRAM = """
import contextlib, io, json, sys
from peftrec.cli.main import main

said = io.StringIO()
with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    status = main(sys.argv[2:])
print(json.dumps({"status": status, "said": said.getvalue(), "modules": sorted(sys.modules)}))
"""


def answer_to(*words: str, cwd: Path) -> tuple[int, str, set[str]]:
    """Return status, what was said, and which of the slow packages were imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--", *words], check=True, capture_output=True, text=True, cwd=cwd
    )
    answer = json.loads(done.stdout)
    return answer["status"], answer["said"], {*answer["modules"]} & {*HEAVY}


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["train", "strategy=lorra"], 2, "did you mean lora"),
        (["train", "strategy.rnak=4", "strategy=lora"], 2, "did you mean strategy.rank?"),
        (["train", "-m", "strategy=lora", "batch_size=8,none"], 2, "batch_size"),
        (["train", "trainer.devices=2", "trainer.accelerator=gpu"], 2, "0 CUDA devices are visible"),
        (["train", "strategy=iisan", "--cfg"], 0, "_target_: peftrec.strategies.iisan.IISAN"),
        (["plan", "memory=24"], 2, "for example 24GiB"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_composing_and_refusing_import_nothing_slow(
    words: list[str], status: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found, text, heavy = answer_to(*words, cwd=tmp_path)
    assert (found, heavy) == (status, set()), text
    assert said in text


def test_a_report_imports_nothing_slow(tmp_path: Path) -> None:
    folder = write_example_records(tmp_path, seeds=1, num_users=20)
    status, said, heavy = answer_to("report", str(folder), cwd=tmp_path)
    assert (status, heavy) == (0, set()), said
