"""The benchmark of served adapters: sides take turns, and all compute what they claim to."""

from itertools import count
from pathlib import Path

import pytest
import served_latency
import torch

from peftrec.serving.adapter_bank import AdapterBank
from peftrec.strategies.lora import LoRA
from peftrec.towers.pretrained import PretrainedText
from small_models import SMALL

SOURCE = PretrainedText(architecture={"model_type": "bert", "vocab_size": 1100, **SMALL}, random_init=True)


def test_sides_take_turns_and_the_first_round_is_left_out() -> None:
    called: list[str] = []
    ticks = count()
    sides = {name: lambda batch, name=name: called.append(name) for name in "abc"}
    seconds = served_latency.time_sides(sides, served_latency.batch_of(SOURCE, 1), 2, lambda: float(next(ticks)))
    assert "".join(called) == "bca" + "cab" + "abc"
    assert seconds == {name: [1.0, 1.0] for name in "abc"}


def test_merged_and_beside_compute_the_same_and_not_the_bare_towers(tmp_path: Path) -> None:
    merged = served_latency.write_lora(SOURCE, tmp_path)
    bank = AdapterBank(SOURCE.load("text", seed=0), {"lora": tmp_path})
    batch = served_latency.batch_of(SOURCE, 3)
    beside = bank.encode(batch, "lora")
    assert torch.allclose(merged(batch), beside, atol=1e-5)
    assert torch.allclose(served_latency.trained(SOURCE, LoRA())(batch), beside, atol=1e-5)
    assert not torch.allclose(bank.encode(batch, None), beside, atol=1e-3)


def test_what_is_printed_of_memory_adds_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    served_latency.write_lora(SOURCE, tmp_path)
    served_latency.print_memory(SOURCE, tmp_path, 3)
    assert "3 adapters: tower " in capsys.readouterr().out
