"""Where processes meet that train together, as the environment says it."""

import os
from collections.abc import Mapping

import pytest
from torch import distributed

from peftrec.errors import UserError
from peftrec.processes import ALONE, ProcessRank, rank_of_environment, torchrun_environment
from peftrec.settings.run import TrainerSettings
from peftrec.training.collectives import joined

TRAINER = TrainerSettings(accelerator="cpu", devices=2)
SECOND = ProcessRank(rank=1, count=2, local_rank=1)
TOLD = torchrun_environment(SECOND, address="127.0.0.1", port=12345)
SLURM = {
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_NUM_NODES": "1",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "node[7-9]",
    "SLURM_JOB_ID": "41",
    "SLURM_STEP_ID": "2",
}


@pytest.fixture
def met(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ranks that came to the meeting point; none waits there for the others."""
    came: list[int] = []
    monkeypatch.setattr(distributed, "init_process_group", lambda *_, rank, **__: came.append(rank))
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    return came


def tell(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], **changed: str | None) -> None:
    """Let the environment of this process hold what a starter says, but for what is changed; null is not set."""
    for name in (*TOLD, *SLURM):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**environment, **changed}.items():
        if value is not None:
            monkeypatch.setenv(name, value)


def test_processes_meet_where_they_are_told(monkeypatch: pytest.MonkeyPatch, met: list[int]) -> None:
    tell(monkeypatch, TOLD)
    with joined(TRAINER) as place:
        assert place == SECOND
    assert met == [1]


@pytest.mark.parametrize("port", [None, "", "0", "65536", "http", "-1"])
def test_an_odd_port_is_refused_before_anybody_waits(
    port: str | None, monkeypatch: pytest.MonkeyPatch, met: list[int]
) -> None:
    tell(monkeypatch, TOLD, MASTER_PORT=port)
    with pytest.raises(UserError) as caught, joined(TRAINER):
        pass
    said = str(caught.value)
    found = "MASTER_PORT is not set" if port is None else f"MASTER_PORT={port!r}"
    assert said.startswith(f"{found} in the environment, where torchrun puts a whole number from 1 to 65535: ")
    for name in said.partition("after: unset ")[2].split():
        monkeypatch.delenv(name)
    assert rank_of_environment() is None
    with joined(TrainerSettings(accelerator="cpu", devices=1)) as place:
        assert place == ALONE
    assert not met


@pytest.mark.parametrize("address", [None, ""])
def test_a_missing_address_is_refused_before_anybody_waits(
    address: str | None, monkeypatch: pytest.MonkeyPatch, met: list[int]
) -> None:
    tell(monkeypatch, TOLD, MASTER_ADDR=address)
    with pytest.raises(UserError, match=r"^MASTER_ADDR is not set in the environment"), joined(TRAINER):
        pass
    assert not met


def test_a_step_of_slurm_meets_at_its_first_node(monkeypatch: pytest.MonkeyPatch, met: list[int]) -> None:
    tell(monkeypatch, SLURM)
    for name in TOLD:
        monkeypatch.setenv(name, "")  # so that what is set below is taken back
        monkeypatch.delenv(name)
    with joined(TRAINER) as place:
        assert place == SECOND
        assert os.environ["MASTER_ADDR"] == "node7"
        assert 12000 <= int(os.environ["MASTER_PORT"]) < 28000
    assert met == [1]


@pytest.mark.parametrize("name", ["SLURM_JOB_ID", "SLURM_STEP_ID"])
def test_a_step_of_slurm_without_a_number_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, met: list[int]
) -> None:
    tell(monkeypatch, SLURM, **{name: None})
    with pytest.raises(UserError, match=rf"^{name} is not set .* after: unset SLURM_STEP_NUM_TASKS$"), joined(TRAINER):
        pass
    assert not met
