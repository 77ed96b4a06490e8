"""What a checkpoint of sentence-transformers says of how states become a vector: its pooling, and the dense layers
behind (EmbeddingGemma has two).

`modules.json` lists the encoder and what follows it, each with a folder of its own. A division by the vector's length,
which many end with, is left out: the head behind a tower learns its own scale.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from peftrec.errors import SettingsError
from peftrec.models.towers.hub import one_line
from peftrec.models.towers.names import Pooling
from peftrec.outputs.safe_text import for_line

MODULES, SETTINGS, WEIGHTS = "modules.json", "config.json", "model.safetensors"
SETTINGS_FILES = (MODULES, f"*_Pooling/{SETTINGS}", f"*_Dense/{SETTINGS}")
WEIGHTS_FILES = (f"*_Dense/{WEIGHTS}",)
_POOLINGS: dict[str, Pooling] = {"cls": "cls", "mean": "mean", "lasttoken": "last"}
_OLD_POOLINGS = {"cls_token": "cls", "mean_tokens": "mean", "lasttoken": "lasttoken"}
"""Names before they were values of one key: `pooling_mode_mean_tokens: true`."""
_ORDER = ("Pooling", "Dense", "Normalize")
"""In which towers have what stands behind an encoder. A dense layer behind a division by the length would read other
numbers without it."""
_LARGEST = 2**16
"""Numbers that a dense layer may take or give; encoders' states have thousands."""
_ACTIVATIONS: dict[str, type[nn.Module]] = {each.__name__: each for each in (nn.Identity, nn.Tanh, nn.ReLU, nn.GELU)}


@dataclass(frozen=True, kw_only=True)
class DenseShape:
    """One dense layer, as its folder describes it."""

    folder: str
    in_features: int
    out_features: int
    bias: bool
    activation: str


class DenseLayer(nn.Module):
    """A linear layer and a function of each number; its tensors are called as sentence-transformers calls them."""

    def __init__(self, shape: DenseShape) -> None:
        super().__init__()
        self.shape = shape
        self.linear = nn.Linear(shape.in_features, shape.out_features, bias=shape.bias)
        self.activation = _ACTIVATIONS[shape.activation]()

    def forward(self, vectors: Float[Tensor, "item hidden"]) -> Float[Tensor, "item out"]:
        activated: Tensor = self.activation(self.linear(vectors))
        return activated


@dataclass(frozen=True, kw_only=True)
class SaidVector:
    """How states become a vector, as far as a checkpoint says it."""

    pooling: Pooling | None = None
    dense: tuple[DenseShape, ...] = ()
    folder: Path | None = None
    """The checkpoint's, where it says anything."""
    key: str = ""
    """Key of the configuration that names it."""

    def words(self) -> str:
        """Spell it out; nothing where nothing is said."""
        steps = [f"{each.in_features} to {each.out_features} by {each.activation}" for each in self.dense]
        return ", then ".join([self.pooling or "the family's pooling", *steps]) if self.pooling or steps else ""

    def weight_files(self) -> list[Path]:
        """Return the files of the dense layers' weights; they may be missing."""
        return [] if self.folder is None else [self.folder / shape.folder / WEIGHTS for shape in self.dense]

    def build(self, width: int, seed: int, *, is_drawn: bool, has_values: bool) -> nn.Sequential:
        """Build the dense layers with the checkpoint's weights, with random ones that are a function of the seed, or
        with shapes only (meta device).

        Raises SettingsError for layers that do not lead from the width of a state to the same, and where weights are
        missing, have other shapes, cannot be read, or are no finite numbers.
        """
        sizes = [width, *(size for shape in self.dense for size in (shape.in_features, shape.out_features)), width]
        if sizes[::2] != sizes[1::2]:
            raise SettingsError(
                f"{self.key}: the dense layers of {self.folder} take and give {sizes[1:-1]} numbers, and must lead "
                f"from the encoder's {width} to {width}; {_remedy(self.key)}"
            )
        with torch.random.fork_rng(), torch.device("cpu" if is_drawn and has_values else "meta"):
            torch.manual_seed(seed)
            layers = [DenseLayer(shape) for shape in self.dense]
        if has_values and not is_drawn:
            for layer, file in zip(layers, self.weight_files(), strict=True):
                self._fill(layer, file)
        return nn.Sequential(*layers)

    def _fill(self, layer: DenseLayer, file: Path) -> None:
        try:
            tensors = load_file(file)
            if not all(each.is_floating_point() and bool(each.isfinite().all()) for each in tensors.values()):
                raise SettingsError(f"{self.key}: {file} holds what are no finite numbers; copy it again")
            layer.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise SettingsError(
                f"{self.key}: cannot read the weights of a dense layer in {file}: {one_line(error)}; copy it again, "
                f"or {_remedy(self.key)}"
            ) from error


def said_in(folder: Path, *, key: str) -> SaidVector:
    """Return what a checkpoint's folder says; nothing where it is none of sentence-transformers.

    Raises SettingsError for files that cannot be read, and for what towers do not do.
    """
    modules = _modules(folder, key)
    behind = modules[1:]
    _check_order(modules, folder / MODULES, key)
    poolings = [_pooling(folder / module.path / SETTINGS, key) for module in behind if module.kind == "Pooling"]
    dense = [_dense_shape(folder, module.path, key) for module in behind if module.kind == "Dense"]
    return SaidVector(pooling=next(iter(poolings), None), dense=tuple(dense), folder=folder, key=key)


def _check_order(modules: Sequence["_Module"], file: Path, key: str) -> None:
    if modules and modules[0].kind in _ORDER:
        raise _no_description(file, key, "the encoder is the first")
    kinds = [module.kind for module in modules[1:]]
    if other := [kind for kind in kinds if kind not in _ORDER]:
        raise SettingsError(
            f"{key}: {file} lists {other[0]!r} behind the encoder, which towers do not have; {_remedy(key)}"
        )
    if kinds != sorted(kinds, key=_ORDER.index) or kinds.count("Pooling") > 1:
        raise SettingsError(
            f"{key}: {file} lists {', '.join(kinds)} behind the encoder; towers have one pooling, then dense layers, "
            f"then divisions by the length; {_remedy(key)}"
        )


def _pooling(file: Path, key: str) -> Pooling:
    settings = _read(file, dict, key)
    if not all(type(is_on) is bool for name, is_on in settings.items() if name.startswith("pooling_mode_")):
        raise _no_description(file, key, "each pooling_mode_ is true or false")
    modes = settings.get("pooling_mode") or [
        _OLD_POOLINGS.get(old := name.removeprefix("pooling_mode_"), old)
        for name, is_on in settings.items()
        if name.startswith("pooling_mode_") and is_on
    ]
    mode = modes[0] if isinstance(modes, list) and len(modes) == 1 else modes or "mean"  # theirs where nothing is said
    if not isinstance(mode, str) or mode not in _POOLINGS:
        raise SettingsError(f"{key}: {file} pools by {mode!r}, which towers do not; {_remedy(key)}")
    if settings.get("include_prompt") is False and mode != "lasttoken":  # which no prompt is
        raise SettingsError(f"{key}: {file} leaves prompts out of the vector, which towers do not; {_remedy(key)}")
    return _POOLINGS[mode]


def _remedy(key: str) -> str:
    return f"say yourself what the vector is: {key.rpartition('.')[0]}.pooling=mean takes pooled states alone"


def save_sentence_modules(folder: Path, *, pooling: Pooling, width: int, dense: nn.Sequential) -> None:
    """Write beside an encoder's checkpoint how its states become a vector, as sentence-transformers reads it."""
    kinds = ["Transformer", "Pooling", *("Dense" for _ in dense)]
    paths = ["", "1_Pooling", *(f"{place}_Dense" for place, _ in enumerate(dense, start=2))]
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    (folder / MODULES).write_text(json.dumps(modules, indent=2), encoding="utf-8")
    said = {value: name for name, value in _POOLINGS.items()}[pooling]
    modes = {f"pooling_mode_{old}": new == said for old, new in _OLD_POOLINGS.items()}
    _write_settings(folder / paths[1], {"word_embedding_dimension": width, **modes})
    for path, layer in zip(paths[2:], dense, strict=True):
        assert isinstance(layer, DenseLayer)
        shape, activation = asdict(layer.shape), type(layer.activation)
        del shape["folder"], shape["activation"]
        shape["activation_function"] = f"{activation.__module__}.{activation.__name__}"
        _write_settings(folder / path, shape)
        save_file({name: tensor.contiguous() for name, tensor in layer.state_dict().items()}, folder / path / WEIGHTS)


def _write_settings(folder: Path, settings: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2), encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class _Module:
    kind: str
    """Last part of its class's name: modules have moved between packages."""
    path: str


def _modules(folder: Path, key: str) -> list[_Module]:
    """Return the modules that a folder lists, in their order; none where it is no folder of sentence-transformers."""
    file = folder / MODULES
    if not file.exists():
        return []
    listed = _read(file, list, key)
    if not all(isinstance(each, dict) and {"path", "type"} <= each.keys() for each in listed):
        raise _no_description(file, key, "each module has a path and a type")
    modules = [_Module(kind=str(each["type"]).rpartition(".")[2], path=str(each["path"])) for each in listed]
    if any(PurePosixPath(module.path).is_absolute() or ".." in PurePosixPath(module.path).parts for module in modules):
        raise _no_description(file, key, "a module's folder lies within the checkpoint's")
    if any(for_line(module.path) != module.path for module in modules):  # messages name it
        raise _no_description(file, key, "the name of a module's folder has no control characters")
    return modules


def _dense_shape(folder: Path, path: str, key: str) -> DenseShape:
    file = folder / path / SETTINGS
    settings = _read(file, dict, key)
    sizes = [settings.get(name) for name in ("in_features", "out_features")]
    if not all(type(size) is int and 0 < size <= _LARGEST for size in sizes):
        raise _no_description(file, key, f"in_features and out_features are whole numbers from 1 to {_LARGEST}")
    if type(bias := settings.get("bias", True)) is not bool:
        raise _no_description(file, key, "bias is true or false")
    name = str(settings.get("activation_function", "Tanh")).rpartition(".")[2]  # theirs where nothing is said
    is_plain = settings.get("module_input_name", "sentence_embedding") == "sentence_embedding"
    if name not in _ACTIVATIONS or not is_plain or settings.get("use_residual"):
        raise SettingsError(
            f"{key}: {file} describes a layer that towers do not have; they have plain ones with "
            f"{', '.join(_ACTIVATIONS)}; {_remedy(key)}"
        )
    return DenseShape(
        folder=path,
        in_features=sizes[0],
        out_features=sizes[1],
        bias=bias,
        activation=name,
    )


def _read(file: Path, kind: type[Any], key: str) -> Any:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{key}: cannot read {file}: {one_line(error)}; copy it again") from error
    if not isinstance(content, kind):
        raise _no_description(file, key, f"it holds a {kind.__name__}")
    return content


def _no_description(file: Path, key: str, needed: str) -> SettingsError:
    return SettingsError(f"{key}: {file} describes no modules of sentence-transformers: {needed}; copy it again")
