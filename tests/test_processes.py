"""Shares add up to the whole, and every launcher's variables tell the same place."""

import pytest

from peftrec.errors import UserError
from peftrec.processes import (
    SRUN,
    TORCHRUN,
    ProcessRank,
    Starter,
    rank_of_environment,
    torchrun_environment,
    whole_number,
)


@pytest.mark.parametrize("number", [0, 1, 2, 7, 12])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_are_neighbours_that_cover_everything_evenly(number: int, count: int) -> None:
    shares = [ProcessRank(rank=rank, count=count).share(number) for rank in range(count)]
    assert [each for share in shares for each in range(number)[share]] == list(range(number))
    sizes = [share.stop - share.start for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert tuple(shares) == ProcessRank(count=count).shares(number)


def test_a_process_of_its_own_is_no_part() -> None:
    assert rank_of_environment({"PATH": "somewhere", "LOCAL_RANK": "0"}) is None
    assert ProcessRank().is_first
    assert not ProcessRank().are_several


@pytest.mark.parametrize("rank", range(4))
def test_torchruns_variables_come_back(rank: int) -> None:
    place = ProcessRank(rank=rank, count=4, local_rank=rank % 2, num_nodes=2)
    environment = torchrun_environment(place, address="here", port=1)
    assert rank_of_environment(environment) == place
    assert environment["GROUP_RANK"] == str(rank // 2)


def test_a_step_of_slurm_is_read_and_a_batch_script_is_not() -> None:
    script = {"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NNODES": "2"}
    assert rank_of_environment(script) is None
    step = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "5", "SLURM_LOCALID": "1"}
    assert rank_of_environment(script | step) == ProcessRank(rank=5, count=8, local_rank=1, num_nodes=2)
    assert rank_of_environment(script | {"SLURM_STEP_NUM_TASKS": "1"}) is None


OF_TORCHRUN = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
OF_SRUN = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"}
OUTSIDE = {
    "WORLD_SIZE": "0",
    "RANK": "4",
    "LOCAL_RANK": "2",
    "LOCAL_WORLD_SIZE": "5",
    "SLURM_STEP_NUM_TASKS": "0",
    "SLURM_STEP_NUM_NODES": "0",
    "SLURM_PROCID": "4",
    "SLURM_LOCALID": "4",
}
"""Variables with a number that they cannot hold beside those above."""


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_odd_environment_is_one_error_with_what_to_unset(name: str) -> None:
    whole = OF_SRUN if name in OF_SRUN else OF_TORCHRUN
    assert rank_of_environment(whole) == ProcessRank(rank=1, count=4, local_rank=1, num_nodes=2)
    for value in ("", "x", "-1", "1.5", "2(x3)", "\u0661", "9" * 5000, OUTSIDE[name]):
        with pytest.raises(UserError, match=f"^{name}=") as caught:
            rank_of_environment({**whole, name: value})
        unset = str(caught.value).partition("after: unset ")[2].split()
        assert rank_of_environment({key: text for key, text in whole.items() if key not in unset}) is None


@pytest.mark.parametrize("starter", [TORCHRUN, SRUN, Starter("sbatch", unset=("SLURM_RESTART_COUNT",))])
def test_a_number_that_is_none_is_answered_with_what_its_caller_says_of_the_starter(starter: Starter) -> None:
    """Whatever the variable is called."""
    with pytest.raises(UserError) as caught:
        whole_number({"SLURM_ANYTHING": "x"}, "SLURM_ANYTHING", starter, most=3)
    assert str(caught.value) == (
        f"SLURM_ANYTHING='x' in the environment, where {starter.name} puts a whole number from 0 to 3: start the "
        f"command by {starter.name}, or in a shell of its own, after: unset {' '.join(starter.unset)}"
    )


@pytest.mark.parametrize("name", ["SLURM_STEP_NUM_NODES", "SLURM_PROCID", "SLURM_LOCALID"])
def test_a_step_without_one_of_its_variables_is_one_error(name: str) -> None:
    with pytest.raises(UserError, match=f"^{name} is not set in the environment, where srun puts a whole number"):
        rank_of_environment({key: value for key, value in OF_SRUN.items() if key != name})
