"""Encoders whose blocks leave their weights in the checkpoint's files, for towers that are larger than the memory.

A block has its weights while it runs, on the device of what it reads, and the next block's are read meanwhile; then
they are let go of. A pass over a batch therefore reads all weights once, whatever the size of the batch.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import init_empty_weights
from safetensors import safe_open
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from peftrec.errors import SettingsError, shortlist
from peftrec.models.towers.encoders import bare_encoder, explaining_config
from peftrec.models.towers.family import Family


class WeightsInFiles:
    """The tensors of an encoder, by its own names, in a checkpoint's safetensors files."""

    def __init__(self, places: dict[str, tuple[Path, str]]) -> None:
        self._places = places
        """Name to the file that holds it, and what it is called there."""

    @classmethod
    def find(cls, files: Sequence[Path], encoder: PreTrainedModel, *, key: str) -> "WeightsInFiles":
        """Find every tensor of an encoder. Raises SettingsError where files lack one, or hold it in another shape."""
        held = {name: (file, shape) for file in files for name, shape in _shapes_in(file)}
        needed = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
        # A whole model's file, or a pair's, names its encoder before each tensor.
        prefixes = ("", f"{encoder.base_model_prefix}.", "text_model.", "vision_model.", "visual.", "model.visual.")
        lacking = {prefix: sorted(name for name in needed if prefix + name not in held) for prefix in prefixes}
        prefix = min(prefixes, key=lambda prefix: len(lacking[prefix]))
        if missing := lacking[prefix]:
            raise SettingsError(
                f"{key}: the weights in {files[0].parent} lack {len(missing)} tensors by the names of a "
                f"{type(encoder).__name__} ({shortlist(missing)}); without {_offload(key)} transformers translates "
                "older names, so leave that out where the encoder fits the memory"
            )
        if other := sorted(name for name, shape in needed.items() if held[prefix + name][1] != shape):
            raise SettingsError(
                f"{key}: {len(other)} tensors of the weights in {files[0].parent} have other shapes than its "
                f"config.json says ({shortlist(other)}); the two do not belong together: copy both again"
            )
        return cls({name: (held[prefix + name][0], prefix + name) for name in needed})

    def read(self, names: Iterable[str], device: torch.device) -> dict[str, Tensor]:
        """Return tensors in float32 on a device; they travel as the file has them."""
        by_file: defaultdict[Path, list[str]] = defaultdict(list)
        for name in names:
            by_file[self._places[name][0]].append(name)
        found: dict[str, Tensor] = {}
        for file, inside in by_file.items():
            with safe_open(file, framework="pt") as tensors:
                for name in inside:
                    found[name] = tensors.get_tensor(self._places[name][1]).to(device).float()
        return found


class BlocksInFiles:
    """The weights of blocks in the order in which blocks run, each read while the one before it computes."""

    def __init__(self, weights: WeightsInFiles, names: Sequence[dict[str, str]]) -> None:
        """Read from `weights`; `names` has, for each block, its own names to the encoder's."""
        self._weights = weights
        self._names = names
        self._reader = ThreadPoolExecutor(1)
        self._ahead: tuple[int, torch.device, Future[dict[str, Tensor]]] | None = None

    def take(self, block: int, device: torch.device) -> dict[str, Tensor]:
        """Return a block's weights by its own names, and begin with the next block's."""
        ahead, self._ahead = self._ahead, None
        is_read = ahead is not None and ahead[:2] == (block, device)
        found = ahead[2].result() if ahead is not None and is_read else self._read(block, device)
        if block + 1 < len(self._names):
            self._ahead = (block + 1, device, self._reader.submit(self._read, block + 1, device))
        return found

    def _read(self, block: int, device: torch.device) -> dict[str, Tensor]:
        names = self._names[block]
        found = self._weights.read(names.values(), device)
        return {own: found[name] for own, name in names.items()}


class OffloadedBlock(nn.Module):
    """In the place of a block: runs it with weights that are read for the time of that. It has no parameters."""

    def __init__(self, block: nn.Module, index: int, weights: BlocksInFiles) -> None:
        super().__init__()
        self._block = [block]  # no child: what has no values moves to no device
        self._index = index
        self._weights = weights

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        block = self._block[0]
        states = arguments[0] if arguments else keywords["hidden_states"]
        buffers = {name: buffer.to(states.device) for name, buffer in block.named_buffers()}
        weights = buffers | self._weights.take(self._index, states.device)
        return torch.func.functional_call(block, weights, arguments, keywords)

    def __getattr__(self, name: str) -> Any:
        """Answer for the block: encoders ask theirs which attention is theirs."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_block"][0], name)


def offloaded_encoder(files: Sequence[Path], config: PretrainedConfig, family: Family, *, key: str) -> PreTrainedModel:
    """Load an encoder without its blocks' weights, which each of these reads when it runs. It encodes as the whole
    one does in evaluation mode, bit for bit, and cannot be trained.

    Raises SettingsError where weights are missing under the encoder's own names, or have other shapes.
    """
    with init_empty_weights(include_buffers=False), explaining_config(key, f"build a {family.model}"):
        encoder = bare_encoder(config, family).eval()
    weights = WeightsInFiles.find(files, encoder, key=key)
    blocks = cast("nn.ModuleList", encoder.get_submodule(family.blocks))
    names = [
        {name: f"{family.blocks}.{index}.{name}" for name in block.state_dict()} for index, block in enumerate(blocks)
    ]
    inside = {name for block in names for name in block.values()}
    outside = [name for name in encoder.state_dict() if name not in inside]
    encoder.load_state_dict(weights.read(outside, torch.device("cpu")), strict=False, assign=True)
    reader = BlocksInFiles(weights, names)
    for index, block in enumerate(blocks):
        blocks[index] = OffloadedBlock(block, index, reader)
    return encoder.requires_grad_(False)


def _shapes_in(file: Path) -> Iterable[tuple[str, tuple[int, ...]]]:
    with safe_open(file, framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118 - no mapping
            yield name, tuple(tensors.get_slice(name).get_shape())


def _offload(key: str) -> str:
    return f"{key.rpartition('.')[0]}.offload=true"
