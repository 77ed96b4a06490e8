"""Items that a run has not met, through its towers: what reads a store computes now what
would stand there, but for the precision that it is kept in."""

from jaxtyping import Float
from torch import Tensor

from peftrec.data.batches import ItemBatch, StateBatch
from peftrec.models.item_encoder import FrozenStatesEncoder
from peftrec.models.recommender import Recommender
from peftrec.models.towers.tower import Towers


def embed_new(recommender: Recommender, batch: ItemBatch, towers: Towers | None) -> Float[Tensor, "item dim"]:
    """Embed items by their content. `towers` are those that a store stands in for, where the recommender reads one."""
    encoder = recommender.item_encoder
    if towers is not None and isinstance(encoder, FrozenStatesEncoder):
        states = {str(name): tensor for name, tensor in towers.states(batch, encoder.indices).items()}
        batch = ItemBatch(items=batch.items, states=StateBatch(**states))
    return recommender.embed(batch)
