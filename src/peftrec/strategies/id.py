"""Item ids in place of content: SASRec proper, the content-free reference. It cannot know cold items."""

from typing import ClassVar

from jaxtyping import Float
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from peftrec.config.strict import STRICT
from peftrec.data.batches import ItemBatch
from peftrec.models.item_encoder import ItemEncoder
from peftrec.models.towers.towers import Towers
from peftrec.strategies.base import Strategy


class IdItemEncoder(ItemEncoder):
    """One learned vector an item; no towers."""

    def __init__(self, *, num_items: int, embedding_dim: int) -> None:
        super().__init__()
        self.towers = Towers()
        self.table = nn.Embedding(num_items, embedding_dim)
        nn.init.xavier_normal_(self.table.weight)

    def forward(self, batch: ItemBatch) -> Float[Tensor, "item dim"]:
        return self.table(batch.items)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IdEmbedding(Strategy):
    """An embedding table as the item encoder; it has no hyper-parameters besides `embedding_dim`."""

    reads_content: ClassVar[bool] = False

    def adapt(self, towers: Towers, *, embedding_dim: int, num_items: int) -> ItemEncoder:
        return IdItemEncoder(num_items=num_items, embedding_dim=embedding_dim)
