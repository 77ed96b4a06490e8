"""peft's layers merged into the weights that they stand around: the same function, at the bare tower's price."""

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel

from peftrec.models.towers.quantised_weights import restore_weights

_STATE = "peft_config"  # what injecting leaves on a model


class MergeError(ValueError):
    """peft has no way to express these layers as weights of the tower."""


def tuner_layers(encoder: nn.Module) -> dict[str, BaseTunerLayer]:
    """Return the layers that peft put around pretrained ones, by path."""
    return {name: module for name, module in encoder.named_modules() if isinstance(module, BaseTunerLayer)}


def merge(encoder: PreTrainedModel) -> None:
    """Put plain layers in the place of adapted ones, with the adaptation in their weights. What is quantised becomes
    float32 first: whole numbers could not hold the sum.

    Raises MergeError where peft cannot merge a method, or a merged weight is not finite; the encoder is then spoilt.
    """
    restore_weights(encoder)
    for path, layer in tuner_layers(encoder).items():
        try:
            layer.merge(safe_merge=True)
        except (NotImplementedError, ValueError) as error:
            raise MergeError(" ".join(str(error).split())) from error
        parent, _, name = path.rpartition(".")
        setattr(encoder.get_submodule(parent), name, layer.get_base_layer())
    if hasattr(encoder, _STATE):
        delattr(encoder, _STATE)
