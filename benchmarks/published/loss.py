"""The loss alone, forward and backward, on given item embeddings and user states."""

import torch
from torch import Tensor

from peftrec.data.batches import SequenceBatch
from peftrec.models.objectives.debiased_cross_entropy import DebiasedCrossEntropyLoss
from peftrec.models.objectives.inputs import ObjectiveInputs
from published import their_models
from published.alternating import Comparison, Prepared
from published.bench import Bench, agree


def loss_alone(bench: Bench) -> Comparison:
    """Compare the published loss over occurrences with ours over distinct items; both values must agree."""
    work, device = bench.work, bench.device
    code, popularity = bench.code("Code_Cached"), work.popularity()
    arguments = their_models.arguments_of(code, modality="inter")
    model = their_models.bare_model(code, arguments, popularity).to(device)
    log_popularity = torch.from_numpy(work.split.log_popularity())
    order = work.order(work.shape.batch_size)
    generator = torch.Generator().manual_seed(0)

    def prepare(pair: int) -> Prepared:
        rows = order[pair % len(order)]
        ids, mask = work.occurrences(rows)
        batch = work.batch(rows, content=False)
        distinct = torch.randn(len(batch.items.items), their_models.DIM, generator=generator)
        states = torch.randn(*mask.shape, their_models.DIM, generator=generator)
        occurring = (distinct[batch.sequences] * batch.mask[..., None]).flatten(0, 1)

        def theirs() -> float:
            leaf, given = _leaf(occurring, device), _leaf(states, device)
            their_models.give_embeddings_and_states(model, leaf, given)
            with bench.autocast(torch.float16):
                loss = model(ids.to(device).view(-1), leaf, leaf, mask.to(device), device)
            loss.backward()
            return loss.item()

        def ours() -> float:
            inputs = _inputs(batch, _leaf(distinct, device), _leaf(states, device), log_popularity, device)
            with bench.autocast(torch.bfloat16):
                loss = DebiasedCrossEntropyLoss()(inputs)
            loss.backward()
            return loss.item()

        return theirs, ours

    theirs, ours = prepare(0)
    is_rounded = device.type == "cuda"  # float16 there, bfloat16 here
    agree("loss", theirs=(value := theirs()), ours=ours(), tolerance=(2e-2 if is_rounded else 1e-5) * abs(value))
    return bench.compare(prepare)


def _leaf(values: Tensor, device: torch.device) -> Tensor:
    return values.to(device, copy=True).requires_grad_()


def _inputs(
    batch: SequenceBatch, embeddings: Tensor, states: Tensor, log_popularity: Tensor, device: torch.device
) -> ObjectiveInputs:
    return ObjectiveInputs(
        states=states,
        embeddings=embeddings,
        sequences=batch.sequences.to(device),
        mask=batch.mask.to(device),
        log_popularity=log_popularity[batch.items.items].to(device),
    )
