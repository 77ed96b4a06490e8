"""Sequences point into the batch's items, and the last place is a target only."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from peftrec.data.batches import ItemBatch, SequenceBatch
from peftrec.models.item_encoder import ItemEncoder
from peftrec.models.recommender import Recommender
from peftrec.models.user_encoders.sasrec import SASRec
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

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
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
