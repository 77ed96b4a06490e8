"""Items as rows of a table."""

from jaxtyping import Float
from torch import Tensor, nn

from peftrec.data.batches import ItemBatch
from peftrec.models.item_encoder import ItemEncoder
from peftrec.models.towers.towers import Towers


class IdItemEncoder(ItemEncoder):
    """One learned vector an item; no towers."""

    def __init__(self, *, num_items: int, embedding_dim: int) -> None:
        super().__init__()
        self.towers = Towers()
        self.table = nn.Embedding(num_items, embedding_dim)
        nn.init.xavier_normal_(self.table.weight)

    def forward(self, batch: ItemBatch) -> Float[Tensor, "item dim"]:
        return self.table(batch.items)
