"""Adapter folders in peft's own format: peft writes them and reads them, whatever its method is called.

A folder remembers, in the metadata of its weights, a fingerprint of the tower it was trained on; peft does not read it.
"""

import copy
import hashlib
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftConfig, PeftModel
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from peftrec.errors import CheckpointError, shortlist
from peftrec.models.peft.merging import tuner_layers
from peftrec.models.towers.tower import Tower
from peftrec.training.parameter_groups import storage_key

_FINGERPRINT = "base_fingerprint"
ADAPTER = "default"
"""peft's own name for the one adapter of a model; it is not written."""


def fingerprint(encoder: nn.Module) -> str:
    """Hash shapes and values of all tensors in their order: other files, names or places of one tower give one hash."""
    digest = hashlib.sha256()
    for tensor in encoder.state_dict().values():
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def as_peft_model(adapted: PreTrainedModel, base: PreTrainedModel) -> PeftModel:
    """Wrap `base`, which is used up, with the adapter that was injected into `adapted`.

    Raises CheckpointError where `adapted` differs from the base by more than one peft adapter.
    """
    layers: dict[str, Any] = tuner_layers(adapted)
    config: Any = copy.deepcopy(adapted.peft_config[ADAPTER])
    names = sorted(layers)
    config.target_modules = names
    if getattr(config, "feedforward_modules", None):  # IA3 scales the input of these, the output of the others
        config.feedforward_modules = [name for name in names if layers[name].is_feedforward]
    model = _wrapped(base, config)
    # Wrapping shortens the names as far as this model allows; with a pooler, say, the short ones could match more.
    config.target_modules = names
    inner, state = model.get_base_model(), adapted.state_dict()
    if stray := sorted(set(state) ^ set(inner.state_dict())):
        raise CheckpointError(
            f"the tower holds more than one peft adapter describes: {shortlist(stray)}; no adapter folder can hold it"
        )
    inner.load_state_dict(state)
    return model


def write_adapter(
    model: PeftModel, folder: Path, *, base_fingerprint: str, base_name: str | None, revision: str | None
) -> int:
    """Write `adapter_config.json` and `adapter_model.safetensors`; return how many numbers the latter holds."""
    config = model.peft_config[ADAPTER]
    config.base_model_name_or_path, config.revision = base_name, revision
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink()  # an empty form; the card of the export stands above
    weights = folder / SAFETENSORS_WEIGHTS_NAME
    tensors = load_file(weights)
    save_file(tensors, weights, metadata={"format": "pt", _FINGERPRINT: base_fingerprint})
    return sum(tensor.numel() for tensor in tensors.values())


def read_adapter(tower: Tower, folder: Path, *, base_fingerprint: str | None = None) -> Tower:
    """Return `tower` under the adapter in `folder`: a tower of its own over the same tensors, which stay as they are.

    With `base_fingerprint` (that of `tower`) an adapter that was trained on other weights is refused. Raises
    CheckpointError, which says why, where the folder does not fit the tower.
    """
    _check_folder(folder, base_fingerprint)
    config = PeftConfig.from_pretrained(str(folder))
    config.inference_mode = True
    try:
        model = _wrapped(sharing_tensors(tower.encoder), config)
        loaded = model.load_adapter(str(folder), ADAPTER, torch_device=str(tower.encoder.device))
    except (ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"the adapter does not fit this {tower.family.model}: {reason}") from error
    if stray := [*_never_set(model, loaded.missing_keys), *loaded.unexpected_keys]:
        raise CheckpointError(f"the adapter's weights are not those of its config: {shortlist(stray)}")
    inner = cast("PreTrainedModel", model.get_base_model())
    if not _storages(tower.encoder) <= _storages(inner):
        raise CheckpointError(
            "this adapter starts by changing pretrained weights, so it cannot share them; export it with merge=true"
        )
    _share_modules(inner, tower.encoder)
    again = Tower(inner, family=tower.family, pooling=tower.pooling, dense=tower.dense, name=tower.name)
    return again.eval()


def sharing_tensors(module: PreTrainedModel) -> PreTrainedModel:
    """Copy a module's structure over the same storage, for the price of its Python objects."""
    shared: dict[int, object] = {id(old): nn.Parameter(old.data, requires_grad=False) for old in module.parameters()}
    shared |= {id(buffer): buffer.data for buffer in module.buffers()}
    return copy.deepcopy(module, shared)


def _wrapped(base: PreTrainedModel, config: PeftConfig) -> PeftModel:
    with warnings.catch_warnings():
        # What peft thinks of a method's layers it said in training; and 0.21 asks for what transformers 5.23 renamed.
        warnings.simplefilter("ignore")
        return PeftModel(base, config, ADAPTER)


def _share_modules(adapted: nn.Module, base: nn.Module) -> None:
    """Put the base's own modules wherever the adapter has no layer below: a structure is then little but its layers."""
    for name, child in list(adapted.named_children()):
        own = getattr(base, name, None)
        if type(own) is not type(child):
            continue
        if tuner_layers(child):
            _share_modules(child, own)
        else:
            setattr(adapted, name, own)


def _storages(module: nn.Module) -> set[int]:
    return {storage_key(parameter) for parameter in module.parameters()}


def _never_set(model: nn.Module, missing: Iterable[str]) -> list[str]:
    """Leave out names of tensors that another name has set: some methods share one among all layers."""
    state = model.state_dict()
    names = set(missing)
    given = {storage_key(tensor) for name, tensor in state.items() if name not in names}
    return sorted(name for name in names if storage_key(state[name]) not in given)


def _check_folder(folder: Path, base_fingerprint: str | None) -> None:
    if missing := [name for name in (CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME) if not (folder / name).is_file()]:
        raise CheckpointError(
            f"no {' and no '.join(missing)} in it; give the text or image folder that `peftrec export` wrote without "
            "merge=true"
        )
    try:
        with safe_open(folder / SAFETENSORS_WEIGHTS_NAME, framework="pt") as weights:
            recorded = (weights.metadata() or {}).get(_FINGERPRINT)
    except SafetensorError as error:
        raise CheckpointError(f"{SAFETENSORS_WEIGHTS_NAME} cannot be read ({error}); export it again") from error
    if base_fingerprint is not None and recorded is not None and recorded != base_fingerprint:
        raise CheckpointError(
            f"the adapter was trained on another tower (weights {recorded[:12]}, this one is {base_fingerprint[:12]}); "
            f"load the checkpoint that {CONFIG_NAME} names"
        )
