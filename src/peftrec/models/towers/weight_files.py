"""The safetensors files of a folder: one, or the shards that an index lists."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_SUFFIX = ".safetensors"


def weight_files(folder: Path) -> list[Path]:
    """List the files that a folder holds, or that its index says it should; they may be missing.

    Raises ValueError that names an index that is none.
    """
    index = folder / INDEX
    if (whole := folder / WHOLE).exists() or not index.exists():
        return [whole] if whole.exists() else []
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{index}: lists no weights ({type(error).__name__})") from error
    for name in names:  # a path would lead out of the folder
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(_SUFFIX):
            raise ValueError(f"{index}: lists {name!r}, which is no {_SUFFIX} file of its folder")
    return [folder / name for name in sorted(names)]


def tensors_behind(prefixes: tuple[str, ...], folder: Path) -> dict[str, Tensor]:
    """Return a folder's tensors whose names begin with one of the prefixes, by what follows it; others are not read.

    Raises ValueError, OSError or SafetensorError where they cannot be read.
    """
    found: dict[str, Tensor] = {}
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                prefix = next((each for each in prefixes if name.startswith(each)), None)
                if prefix is not None:
                    found[name.removeprefix(prefix)] = tensors.get_tensor(name)
    return found


def check_weight_file(file: Path) -> None:
    """Raise ValueError that names a file that is missing, cut off or no safetensors; its numbers are not read."""
    try:
        with safe_open(file, framework="numpy"):
            return
    except FileNotFoundError as error:
        raise ValueError(f"{file}: missing") from error
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file}: no whole safetensors file ({error})") from error
