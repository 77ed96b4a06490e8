"""Sequences point into the batch's items, and the last place is a target only."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from peftrec.data.batches import ItemBatch, SequenceBatch
from peftrec.models.item_encoder import ItemEncoder
from peftrec.models.recommender import Recommender
from peftrec.user_encoders.sasrec import SASRec
from small_models import SMALL_PAIRS, sequence_batch

DIM, NUM_ITEMS = 8, 12


class Looked(ItemEncoder):
    """Counts what it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(NUM_ITEMS, DIM, generator=torch.Generator().manual_seed(0)))
        self.encoded: list[int] = []

    def forward(self, batch: ItemBatch) -> Tensor:
        self.encoded.append(len(batch.items))
        return self.weight[batch.items]


class Echo(nn.Module):
    """Returns its input, and keeps the mask."""

    def forward(self, embeddings: Tensor, mask: Tensor, times: Tensor | None) -> Tensor:
        self.mask = mask
        return embeddings


def batch_of() -> SequenceBatch:
    return sequence_batch(SMALL_PAIRS["text_only"], num_items=NUM_ITEMS, num_users=6)


def test_inputs_are_the_embeddings_of_all_places_but_the_last() -> None:
    encoder, echo = Looked(), Echo()
    batch = batch_of()
    embeddings, inputs = Recommender(encoder, echo)(batch)
    assert encoder.encoded == [NUM_ITEMS], "each distinct item is encoded once"
    assert torch.equal(embeddings, encoder.weight)
    assert torch.equal(inputs, encoder.weight[batch.items.items][batch.sequences[:, :-1]])
    assert torch.equal(echo.mask, batch.mask[:, :-1])


def test_neither_the_last_target_nor_padding_reaches_a_state() -> None:
    torch.manual_seed(0)
    model = Recommender(Looked(), SASRec().build(dim=DIM, sequence_length=4)).eval()
    batch = batch_of()
    _, states = model(batch)
    sequences = batch.sequences.clone()
    sequences[:, -1] = (sequences[:, -1] + 1) % NUM_ITEMS
    sequences[~batch.mask] = 5
    assert not torch.equal(sequences, batch.sequences)
    _, others = model(replace(batch, sequences=sequences))
    valid = batch.mask[:, :-1]
    assert not valid.all()
    torch.testing.assert_close(states[valid], others[valid], rtol=0, atol=1e-6)


def test_gradients_of_an_item_add_up_over_its_places() -> None:
    encoder = Looked()
    batch = batch_of()
    _, inputs = Recommender(encoder, Echo())(batch)
    (inputs * batch.mask[:, :-1, None]).sum().backward()
    places = batch.sequences[:, :-1][batch.mask[:, :-1]]
    expected = torch.bincount(places, minlength=NUM_ITEMS).float()[:, None].expand(-1, DIM)
    assert encoder.weight.grad is not None
    assert torch.equal(encoder.weight.grad[batch.items.items], expected)


@torch.no_grad()
def test_fix_norm_scores_by_angle_alone() -> None:
    """g <w, x> / ||w||; with ScaleNorm as the last norm, the paper's joint layer g g' <w, x> / (||w|| ||x||)."""
    gain, last_gain = 1.7, 3.0
    settings = SASRec(fix_norm=True, norm="scale", placement="pre")
    encoder = Looked()
    model = Recommender(encoder, settings.build(dim=DIM, sequence_length=4), item_norm=settings.item_norm()).eval()
    model.item_norm.gain.fill_(gain)  # type: ignore[union-attr, operator]
    embeddings, states = model(batch_of())
    last = model.user_encoder.layer_norm
    before: list[Tensor] = []
    last.register_forward_pre_hook(lambda _, arguments: before.append(arguments[0]))  # type: ignore[union-attr]
    last.gain.fill_(last_gain)  # type: ignore[union-attr, operator]
    embeddings, states = model(batch_of())
    scores = states @ embeddings.T
    items = encoder.weight
    torch.testing.assert_close(scores, gain * (states @ items.T) / items.norm(dim=1), rtol=1e-5, atol=1e-6)
    cosines = nn.functional.cosine_similarity(before[0][:, :, None], items[None, None], dim=3)
    torch.testing.assert_close(scores, gain * last_gain * cosines, rtol=1e-5, atol=1e-5)
    encoder.weight.mul_(torch.linspace(0.1, 10, NUM_ITEMS)[:, None])
    torch.testing.assert_close(model(batch_of())[1] @ model.embed(batch_of().items).T, scores, rtol=1e-5, atol=1e-5)


def test_the_length_of_item_embeddings_is_learned_by_inputs_and_scores() -> None:
    settings = SASRec(fix_norm=True)
    model = Recommender(Looked(), settings.build(dim=DIM, sequence_length=4), item_norm=settings.item_norm())
    gain = model.item_norm.gain  # type: ignore[union-attr]
    for part in range(2):
        model.zero_grad()
        (model(batch_of())[part] * torch.arange(DIM)).sum().backward()
        assert gain.grad is not None  # type: ignore[union-attr]
        assert gain.grad.abs() > 1e-4  # type: ignore[union-attr, operator]
    assert {name for name, _ in model.named_parameters() if "item_norm" in name} == {"item_norm.gain"}
