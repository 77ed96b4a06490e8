"""The model: item encoder and user encoder; scores are dot products."""

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from peftrec.data.batches import ItemBatch, SequenceBatch
from peftrec.models.item_encoder import ItemEncoder


class Recommender(nn.Module):
    """Embeds the distinct items of a batch once and reads users' sequences over them."""

    def __init__(
        self, item_encoder: ItemEncoder, user_encoder: nn.Module, *, item_norm: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.item_encoder = item_encoder
        self.user_encoder = user_encoder
        self.item_norm = item_norm

    def forward(self, batch: SequenceBatch) -> tuple[Float[Tensor, "item dim"], Float[Tensor, "user step dim"]]:
        """Return the embeddings of the batch's items, and the user state at every step but the last.

        The last place of a training window is a target only.
        """
        embeddings = self.embed(batch.items)
        return embeddings, self.user_states(embeddings, batch)

    def embed(self, items: ItemBatch) -> Float[Tensor, "item dim"]:
        """Embed distinct items as scores and user states see them: in training, evaluation and serving alike."""
        embeddings = self.item_encoder(items)
        return embeddings if self.item_norm is None else self.item_norm(embeddings)

    def user_states(
        self, embeddings: Float[Tensor, "item dim"], batch: SequenceBatch
    ) -> Float[Tensor, "user step dim"]:
        """Read the batch's sequences over the embeddings of all its distinct items, wherever they were encoded."""
        # An embedding look-up: unlike fancy indexing its backward pass is deterministic on every device.
        inputs = nn.functional.embedding(batch.sequences[:, :-1], embeddings)
        return self.user_encoder(inputs, batch.mask[:, :-1], None if batch.times is None else batch.times[:, :-1])

    def last_states(
        self,
        catalogue: Float[Tensor, "candidate dim"],
        sequences: Int[Tensor, "user step"],
        mask: Bool[Tensor, "user step"],
        times: Shaped[Tensor, "user step"] | None = None,
    ) -> Float[Tensor, "user dim"]:
        """Return the state of each user after the last step; `sequences` are rows of the catalogue's embeddings."""
        return self.states(catalogue, sequences, mask, times)[:, -1]

    def states(
        self,
        catalogue: Float[Tensor, "candidate dim"],
        sequences: Int[Tensor, "user step"],
        mask: Bool[Tensor, "user step"],
        times: Shaped[Tensor, "user step"] | None = None,
    ) -> Float[Tensor, "user step dim"]:
        """Return the state of each user at every step."""
        return self.user_encoder(catalogue[sequences], mask, times)
