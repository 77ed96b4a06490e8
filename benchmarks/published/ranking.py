"""Full-ranking evaluation: all test users over all items, from given item embeddings to the metrics."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed
from torch import Tensor

from peftrec.data.split import RankingCases
from peftrec.evaluation.metrics import ranking_metrics
from peftrec.evaluation.ranking import users_per_block
from peftrec.settings.run import EvaluationSettings
from peftrec.training.run.scoring import rank_users
from published import our_models, their_models
from published.alternating import Comparison, Prepared
from published.bench import Bench, agree

BATCH_SIZE = 256  # users at once in the published validation


def evaluation(bench: Bench) -> Comparison:
    """Compare user encoder, scores, ranks and metrics with the same weights; both must count the same hits."""
    work, device = bench.work, bench.device
    code = bench.code("Code_Cached")
    arguments = their_models.arguments_of(code)
    model = their_models.bare_model(code, arguments, work.popularity()).to(device).eval()
    generator = torch.Generator().manual_seed(0)
    branches = [torch.randn(work.num_items + 1, their_models.DIM, generator=generator) for _ in range(3)]
    with torch.no_grad():
        embeddings = model.com_dense(torch.cat(branches, dim=1).to(device))[1:].cpu()
    module = our_models.over_given_embeddings(work, embeddings)
    our_models.copy_user_encoder(model.user_encoder, module.recommender.user_encoder)
    module.to(device)
    cases = first_cases(work.split.test, work.shape.max_users)
    sequences, histories = published_cases(cases, work.split.sequence_length)
    one_process = their_models.OneProcess(model)
    block = users_per_block(work.num_items, EvaluationSettings().max_score_bytes)

    def theirs() -> float:
        image, text, inter = branches
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # it pins memory whether or not there is a device
            return code.metrics.eval_model(
                one_process, histories, sequences, image, [text, inter], BATCH_SIZE, arguments, work.num_items,
                logging.getLogger("published"), "test", device,
            )  # fmt: skip

    def ours() -> float:
        ranked = rank_users(module, cases, sequence_length=work.split.sequence_length, block=block)
        return ranking_metrics(ranked.ranks, ranked.is_unreachable)["hr@10"]

    results: dict[str, float] = {}

    def prepare(_: int) -> Prepared:
        return lambda: results.update(theirs=theirs()), lambda: results.update(ours=ours())

    with one_process_group(device):
        found = bench.compare(prepare, is_long=True)
    agree("hits at 10", **{side: len(cases) * rate for side, rate in results.items()}, tolerance=1)
    return found


def first_cases(cases: RankingCases, max_users: int | None) -> RankingCases:
    """Return the first users; all where null."""
    if max_users is None or max_users >= len(cases):
        return cases
    histories = cases.histories
    offsets = histories.offsets[: max_users + 1]
    kept = replace(histories, users=histories.users[:max_users], items=histories.items[: offsets[-1]], offsets=offsets)
    return RankingCases(histories=kept, targets=cases.targets[:max_users])


def published_cases(cases: RankingCases, sequence_length: int) -> tuple[dict[int, list[int]], dict[int, Tensor]]:
    """Return the published form: sequences that end in the target, and histories, of items from 1."""
    histories = cases.histories
    seen = {
        user: torch.from_numpy(histories.items[histories.offsets[user] : histories.offsets[user + 1]]).long() + 1
        for user in range(len(cases))
    }
    sequences = {
        user: [*items.tolist(), int(cases.targets[user]) + 1][-(sequence_length + 1) :] for user, items in seen.items()
    }
    return sequences, seen


@contextmanager
def one_process_group(device: torch.device) -> Iterator[None]:
    """Open the process group of one that the published evaluation gathers over."""
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=f"file://{Path(folder) / 'store'}",
            rank=0,
            world_size=1,
        )
        try:
            yield
        finally:
            torch.distributed.destroy_process_group()
