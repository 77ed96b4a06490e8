"""The installed peft library's methods by peft's own names: their arguments, and what cannot train an encoder here."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, get_type_hints

from peft import PeftConfig
from peft.config import PromptLearningConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.utils import PeftType
from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError
from pydantic_core import to_json

from peftrec.config.validation_messages import describe, explain
from peftrec.errors import SettingsError

_NO_ENCODER = {
    "ADAPTION_PROMPT": "it puts prompts into the attention of decoders such as LLaMA, and knows no encoder's",
    "POLY": "it mixes its adapters by the task that each example belongs to, and there is one task",
    "SHADOW": "it runs a second, smaller decoder beside the blocks of a decoder",
    "TRAINABLE_TOKENS": "it trains rows of a table of tokens, which is no layer of a block; an image has no tokens",
    "XLORA": "it mixes adapters that were trained before, and loads them itself",
}
_PROMPTS = (
    "it puts virtual tokens before those of a language model, by peft's wrapper around a whole model; "
    "an image encoder reads no tokens"
)
_BLOCKS = "strategy.sites names the layers, in every block"
_NOTHING_ELSE = "besides the layers at strategy.sites nothing of a tower trains"
_NEEDS_DATA = "it initialises from data or quantised weights in a step of its own before training"
_NEEDS_LOOP = "it needs calls or terms of the loss that peft leaves to the training loop; only AdaLoRA's are made here"
_DECODERS = "it is for decoders"
_REFUSED_ARGUMENTS = {
    "target_modules": _BLOCKS,
    "exclude_modules": _BLOCKS,
    "layers_to_transform": _BLOCKS,
    "layers_pattern": _BLOCKS,
    "feedforward_modules": "strategy.feedforward_sites names them",
    "total_step": "the run's own number of steps is taken",
    "target_parameters": _NOTHING_ELSE,
    "modules_to_save": _NOTHING_ELSE,
    "trainable_token_indices": _NOTHING_ELSE,
    "ensure_weight_tying": _NOTHING_ELSE,
    "loftq_config": _NEEDS_DATA,
    "eva_config": _NEEDS_DATA,
    "corda_config": _NEEDS_DATA,
    "lora_ga_config": _NEEDS_DATA,
    "use_asa": _NEEDS_LOOP,
    "kasa_config": _NEEDS_LOOP,
    "monteclora_config": _NEEDS_LOOP,
    "alora_invocation_tokens": _DECODERS,
    "layer_replication": _DECODERS,
    "megatron_config": _DECODERS,
    "megatron_core": _DECODERS,
    "arrow_config": "it routes between adapters that were trained before",
    "runtime_config": "where weights lie is not peft's to choose here",
}
_REFUSED_INITIALISATIONS = dict.fromkeys(("eva", "corda", "loftq", "lora_ga"), _NEEDS_DATA)
_INITIALISATIONS = ("init_weights", "init_lora_weights", "init_ia3_weights")
_NEUTRAL: dict[PeftType, str | bool] = {PeftType.ADAMSS: "orthogonal"}
"""Initialisation that leaves a layer as it was, where it is not `true`."""
_STARTS_ELSEWHERE = {  # or where it started, but for rounding
    PeftType.DEFT,
    PeftType.FROD,
    PeftType.HRA,
    PeftType.OSF,
    PeftType.UNILORA,
    PeftType.VBLORA,
}
_TAKES_INT8 = {
    *(PeftType.LORA, PeftType.ADALORA, PeftType.VERA, PeftType.LOHA, PeftType.LOKR, PeftType.FOURIERFT),
    *(PeftType.IA3, PeftType.OFT, PeftType.LN_TUNING),
}
"""What adds to a layer's output, scales it or changes its input, and trains nothing that is rounded."""
_STARTS_FROM_NOTHING = (True, False, "gaussian", "orthogonal")
"""Initialisations that do not look at the weights."""
_DRAWS_ALWAYS = {PeftType.LOHA, PeftType.LOKR, PeftType.PVERA}
"""PVeRA samples its vectors; the others draw whether a module is dropped, and compare it with a rate of zero."""
_GIVEN_HERE = {"total_step": 2**31, "progressbar": False}
"""Steps until `begin` of the schedule says how many there are; no bar unless it is asked for."""


def trainable_methods() -> list[str]:
    """Return the names of the methods that can train an encoder here."""
    return sorted(name for name in map(_name, PEFT_TYPE_TO_CONFIG_MAPPING) if refusal(name) is None)


def refusal(method: str) -> str | None:
    """Say why a method of the library cannot train an encoder; None where it can."""
    kind = PeftType(method)
    if issubclass(PEFT_TYPE_TO_CONFIG_MAPPING[kind], PromptLearningConfig):
        return _PROMPTS
    if method not in _NO_ENCODER and kind not in PEFT_TYPE_TO_TUNER_MAPPING:
        return "the installed peft has no layers for it"
    return _NO_ENCODER.get(method)


def build_config(
    method: str, arguments: Mapping[str, JsonValue], *, targets: Sequence[str], feedforward: Sequence[str] = ()
) -> PeftConfig:
    """Return peft's own config of the method for the layers at the paths `targets`; `feedforward` are those of them
    whose input is scaled (IA3).

    Raises SettingsError for a method or an argument that there is not, or that cannot work on an encoder.
    """
    config_class = _config_class(method)
    known = _arguments_of(config_class)
    keywords = {name: _checked(config_class, name, value, known) for name, value in arguments.items()}
    keywords["target_modules"] = list(targets)
    names = {field.name for field in fields(config_class)}
    if "feedforward_modules" in names:
        keywords["feedforward_modules"] = list(feedforward)
    elif feedforward:
        raise SettingsError(f"strategy.feedforward_sites: {method} scales no inputs; leave it out")
    keywords = {name: value for name, value in _GIVEN_HERE.items() if name in names} | keywords
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # peft warns of arguments that it is about to ignore
            return config_class(**keywords)
    except (ValueError, TypeError, Warning) as error:
        raise SettingsError(f"strategy.arguments: {method} refuses them: {error}") from error


def starts_at_pretrained(config: PeftConfig) -> bool:
    """Tell whether layers of this config compute, before the first step, bit for bit what they wrap."""
    chosen = [getattr(config, name) for name in _INITIALISATIONS if hasattr(config, name)]
    kind = PeftType(config.peft_type)
    return all(value == _NEUTRAL.get(kind, True) for value in chosen) and kind not in _STARTS_ELSEWHERE


def draws_in_training(config: PeftConfig) -> bool:
    """Tell whether layers of this config draw random numbers in training."""
    rates = [getattr(config, field.name) for field in fields(config) if field.name.endswith("dropout")]
    return any(rate > 0 for rate in rates) or PeftType(config.peft_type) in _DRAWS_ALWAYS


def refusal_of_int8(config: PeftConfig) -> str | None:
    """Say why layers of this config cannot stand around a layer whose weight is int8; None where they can."""
    kind = PeftType(config.peft_type)
    chosen = [getattr(config, name) for name in _INITIALISATIONS if hasattr(config, name)]
    if kind in _TAKES_INT8 and not getattr(config, "use_dora", False) and set(chosen) <= set(_STARTS_FROM_NOTHING):
        return None
    return (
        f"with {kind.value} as it is set reads the values of the weights that it adapts, which are whole numbers then"
    )


def _config_class(method: str) -> type[PeftConfig]:
    known = sorted(map(_name, PEFT_TYPE_TO_CONFIG_MAPPING))
    if method not in known:
        nearest = get_close_matches(method.upper(), known, n=1)
        suggestion = f"did you mean {nearest[0]}? " if nearest else ""
        raise SettingsError(
            f"strategy.method: peft has no method {describe(method)}; {suggestion}"
            f"those for encoders are {', '.join(trainable_methods())}"
        )
    if reason := refusal(method):
        raise SettingsError(
            f"strategy.method: {method} cannot adapt an encoder: {reason}; "
            f"choose one of {', '.join(trainable_methods())}"
        )
    return PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(method)]


def _arguments_of(config_class: type[PeftConfig]) -> list[str]:
    general = {field.name for field in fields(PeftConfig)}
    return [field.name for field in fields(config_class) if field.name not in {*general, *_REFUSED_ARGUMENTS}]


def _checked(config_class: type[PeftConfig], name: str, value: JsonValue, known: Sequence[str]) -> Any:
    """Validate one argument by the annotation that peft gives it."""
    key = f"strategy.arguments.{name}"
    if name in _REFUSED_ARGUMENTS and any(field.name == name for field in fields(config_class)):
        raise SettingsError(f"{key}: {_REFUSED_ARGUMENTS[name]}")
    if name not in known:
        nearest = get_close_matches(name, known, n=1)
        suggestion = f"did you mean {nearest[0]}?" if nearest else f"it has {', '.join(known)}"
        raise SettingsError(f"{key}: {config_class.__name__} has no such argument; {suggestion}")
    if name in _INITIALISATIONS and isinstance(value, str) and value in _REFUSED_INITIALISATIONS:
        raise SettingsError(f"{key}: {value!r} cannot work here: {_REFUSED_INITIALISATIONS[value]}")
    try:
        return TypeAdapter(get_type_hints(config_class)[name], config=_STRICT).validate_json(to_json(value))
    except ValidationError as error:
        raise SettingsError(explain(error, key)) from error


def _name(kind: PeftType) -> str:
    return str(kind.value)


_STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)
