"""Items that a run has not met, through its towers: what reads a store computes now what
would stand there, but for the precision that it is kept in."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from peftrec.data.batches import ItemBatch, TokenBatch
from peftrec.models.item_encoder import FrozenStatesEncoder
from peftrec.models.recommender import Recommender
from peftrec.models.towers.names import TowerName
from peftrec.models.towers.towers import Towers


def embed_new(recommender: Recommender, batch: ItemBatch, towers: Towers | None) -> Float[Tensor, "item dim"]:
    """Embed items by their content. `towers` are those that a store stands in for, where the recommender reads one."""
    return recommender.embed(with_states(recommender, batch, towers))


def with_states(recommender: Recommender, batch: ItemBatch, towers: Towers | None) -> ItemBatch:
    """Return what the recommender embeds of items: the states of `towers`, or the content itself without them."""
    return batch if towers is None else ItemBatch(items=batch.items, states=stored_part(recommender, batch, towers))


def stored_part(recommender: Recommender, batch: ItemBatch, towers: Towers) -> Mapping[TowerName, Tensor | TokenBatch]:
    """Compute what a store would hold of items, in the towers' precision."""
    encoder = recommender.item_encoder
    if isinstance(encoder, FrozenStatesEncoder):
        return towers.states(batch, encoder.indices)
    return towers.token_states(batch, encoder.towers.stored_layers())
