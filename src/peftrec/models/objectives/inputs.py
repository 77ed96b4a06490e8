"""What an objective sees of one batch."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ObjectiveInputs:
    """What an objective sees of one batch. Sequences hold one more step than states: the last target."""

    states: Float[Tensor, "user step dim"]
    """User states; the state at a step predicts the item one step later."""
    embeddings: Float[Tensor, "item dim"]
    """Embeddings of the batch's distinct items, whoever's they are."""
    sequences: Int[Tensor, "user next_step"]
    """Row of `embeddings` at each place; meaningless where `mask` is false."""
    mask: Bool[Tensor, "user next_step"]
    """True where an item stands."""
    log_popularity: Float[Tensor, " item"]
    """Log of each distinct item's share of the training interactions."""
    multiplicity: Float[Tensor, " item"] | None = None
    """How often each item stands in the batch; null where `sequences` is the whole batch and can be counted."""
    drawn: Bool[Tensor, " item"] | None = None
    """Items that were drawn beside the batch, which may stand in it as well; null where the objective asks for none."""
    positions: Int[Tensor, " position"] | None = None
    """Places of `states`, flattened over users and steps, whose input item is not padding; null where nobody listed
    them."""

    def valid_positions(self) -> Int[Tensor, " position"]:
        """Return those places. They are to be taken and not looked for with the mask, for which the host waits for the
        device, and which a plan, whose tensors have no values, cannot do."""
        return self.mask[:, :-1].flatten().nonzero()[:, 0] if self.positions is None else self.positions
