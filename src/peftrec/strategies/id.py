"""Item ids in place of content: SASRec proper, the content-free reference. It cannot know cold items."""

from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.strategies.base import Strategy

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IdEmbedding(Strategy):
    """An embedding table as the item encoder; it has no hyper-parameters besides `embedding_dim`."""

    reads_content: ClassVar[bool] = False

    @property
    def draws_in_training(self) -> bool:
        return False

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.id_item_encoder import IdItemEncoder

        return IdItemEncoder(num_items=num_items, embedding_dim=embedding_dim)
