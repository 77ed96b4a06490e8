"""Stands in for `peftrec.jobs.job`: checks what processes tell each other, then trains as a job does."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from peftrec.data.content import ItemContent, TokenisedTitles
from peftrec.data.interactions import Interactions
from peftrec.data.loading import TrainingBatches
from peftrec.evaluation.metrics import RankCollector
from peftrec.jobs.attaching import attach
from peftrec.jobs.isolation import JobReport
from peftrec.jobs.job import train
from peftrec.models.item_encoder import TowerItemEncoder
from peftrec.models.objectives.debiased_cross_entropy import DebiasedCrossEntropyLoss
from peftrec.models.recommender import Recommender
from peftrec.processes import ProcessRank
from peftrec.settings.run import settings_from_config
from peftrec.training.collectives import gather_rows, joined
from peftrec.training.module import LoopSettings, RecommenderModule
from peftrec.training.parameter_groups import PretrainedSnapshot, parameter_roles
from peftrec.user_encoders.sasrec import SASRec
from small_models import SMALL_PAIRS, VOCABULARY

WINDOWS = [[0, 1, 2], [2, 3], [4, 5, 6, 1], [7, 3], [8, 9]]
BATCHES = [[0, 1, 2, 3, 4], [2, 4], [3], [0, 1, 2]]
"""The third has fewer users than processes."""
ONE_ITEM = [[5, 5, 5]]
NUM_ITEMS = 10


def main() -> int:
    job_file, outcome_file = map(Path, sys.argv[1:])
    config = json.loads(job_file.read_text())["config"]
    with joined(settings_from_config(config).trainer) as processes:
        check_exchange(processes)
        check_collector(processes)
        check_gradients(processes)
        report: JobReport = train(config)
        every = processes.collected(report)
        assert [each.status for each in every] == ["success"] * processes.count, every
    outcome_file.write_text(report.model_dump_json())
    return 0 if report.status == "success" else 1


def check_exchange(processes: ProcessRank) -> None:
    assert processes.collected(processes.rank) == [0, 1]
    assert processes.from_first(lambda: f"said by {processes.rank}") == "said by 0"
    try:
        processes.from_first(lambda: 1 // (processes.count - 2))
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError("what the first raises, all raise")
    check_turns(processes)
    for sizes in ((2, 3), (3, 0), (0, 1)):
        everything = torch.arange(2.0 * sum(sizes)).view(-1, 2)
        start = sum(sizes[: processes.rank])
        own = everything[start : start + sizes[processes.rank]].clone().requires_grad_()
        gathered = gather_rows(own, sizes, processes.rank)
        assert torch.equal(gathered, everything)
        weights = torch.arange(float(sum(sizes)))[:, None] + processes.rank
        (gathered * weights).sum().backward()
        expected = (2 * torch.arange(float(sum(sizes)))[:, None] + 1).expand(-1, 2)  # of both ranks
        assert own.grad is not None
        assert torch.equal(own.grad, expected[start : start + sizes[processes.rank]])


def check_turns(processes: ProcessRank) -> None:
    """What the first leaves on the disk, the others find; what it raises, all raise."""
    place = Path(sys.argv[2]).parent / "left by the first"

    def leave() -> bool:
        found = place.exists()
        place.touch()
        return found

    assert processes.first_then_others(leave) == (not processes.is_first)
    try:
        processes.first_then_others(lambda: 1 // processes.rank)
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError("what the first raises, all raise")


def check_collector(processes: ProcessRank) -> None:
    """Blocks of unequal size, and a user that both ranked."""
    collector = RankCollector()
    users = [torch.tensor([4, 0, 2]), torch.tensor([1, 4])][processes.rank]
    collector.update(users, 10 * users, users == 2)
    ranks, is_unreachable = collector.take()
    assert ranks.tolist() == [0, 10, 20, 40]
    assert is_unreachable.tolist() == [False, False, True, False]


def check_gradients(processes: ProcessRank) -> None:
    """The mean of the processes' gradients is one process's gradient on the whole batch, also where a process has no
    users, or no items."""
    for windows, batches in ((WINDOWS, BATCHES), (ONE_ITEM, [[0]])):
        dataset = Interactions.from_lists([str(user) for user in range(len(windows))], windows)
        content = titles()
        whole = TrainingBatches(dataset, content, length=5)
        part = TrainingBatches(dataset, content, length=5, processes=processes)
        for rows in batches:
            expected = gradients(small_module(), whole[np.array(rows)])
            module = small_module()
            module.processes = processes
            for name, gradient in gradients(module, part[np.array(rows)]).items():
                mean = sum(processes.collected(gradient)) / processes.count
                torch.testing.assert_close(mean, expected[name], rtol=1e-4, atol=1e-7, msg=f"{rows} {name}")


def titles() -> ItemContent:
    random = np.random.default_rng(0)
    tokens = [random.integers(1, VOCABULARY, random.integers(2, 8)).tolist() for _ in range(NUM_ITEMS)]
    return ItemContent(by_tower={"text": TokenisedTitles.from_lists(tokens, padding_id=0)})


def small_module() -> RecommenderModule:
    """In evaluation mode, where nothing is drawn, and in float64: CPUs add float32 in orders that differ too much."""
    towers = SMALL_PAIRS["text_only"].load(seed=0)
    snapshot = PretrainedSnapshot.of(towers)
    torch.manual_seed(0)
    encoder = TowerItemEncoder(towers, embedding_dim=8)
    user_encoder = SASRec(fix_norm=True)
    recommender = Recommender(encoder, user_encoder.build(dim=8, sequence_length=4), item_norm=user_encoder.item_norm())
    return (
        RecommenderModule(
            recommender,
            DebiasedCrossEntropyLoss(),
            parameter_roles=parameter_roles(recommender, encoder, snapshot),
            content=ItemContent(),
            log_popularity=-torch.arange(1.0, NUM_ITEMS + 1),
            loop=LoopSettings(learning_rates={}, mask_history="all", seed=0),
            towers_stay_frozen=False,
        )
        .double()
        .eval()
    )


def gradients(module: RecommenderModule, batch: Any) -> dict[str, torch.Tensor]:
    module.loss(batch).backward()
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


if __name__ == "__main__":
    attach()
    sys.exit(main())
