"""What towers and their states are called."""

from typing import Literal

Modality = Literal["text", "image"]
MODALITIES: tuple[Modality, ...] = ("image", "text")
"""In the order of the published fusion layer: image first."""

OUTPUT = -1
"""Index of a tower's output vector: the last state after the tower's final norm, where it has one (a ViT's and a CLIP's
last hidden state is taken before it, a BERT's after)."""

Weights = Literal["float32", "int8"]
"""How the weights of a tower's linear layers are kept."""

Pooling = Literal["cls", "mean", "last"]
"""`cls` takes the first token's state, `last` the last token's, `mean` averages (text: over the mask; image: over the
patches)."""

StateForm = Literal["pooled", "tokens"]
"""How a hidden-state store holds a state: pooled to one vector an item, or one for each of its tokens."""
