"""What other programs call the keys of a run, and what to write here in their place.

Only a word that is no key here is looked up, so that a key of a part of one's own is never taken for another.
"""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from peftrec.config.folder import config_directory
from peftrec.errors import SettingsError

_RATES = ("text", "image", "introduced", "recommender")
_KEYS: Mapping[str, str] = {
    "trainer.max_epochs": "epoch epochs max_epoch max_epochs n_epochs num_epochs num_train_epochs train_epochs",
    "batch_size": "batch batchsize bs train_batch_size per_device_train_batch_size",
    "seed": "random_seed random_state rng seeds",
    "embedding_dim": "d_model dim embed_dim embedding_size emb_size hidden_dim hidden_size latent_dim",
    "data.sequence_length": "max_history max_len max_length max_seq_len max_seq_length maxlen seq_len sequence_length",
    "strategy.rank": "lora_r lora_rank r rank",
    "strategy.alpha": "alpha lora_alpha",
    "data": "dataset datasets",
    "data.root": "data_dir data_path data_root dataset_path root",
    "data.images": "image_dir image_path images",
    "runs_dir": "log_dir logdir out out_dir output output_dir results_dir save_dir work_dir",
    "name": "exp exp_name experiment_name project run_name",
    "strategy": "adaptation finetuning method peft_method peft_type tuning",
    "user_encoder": "recommender rec_model seq_model sequential_model user_model",
    "objective": "criterion loss loss_fn",
    "towers.text.checkpoint": "bert language_model lm text_encoder text_model text_tower",
    "towers.image.checkpoint": "image_encoder image_model image_tower vision_encoder vision_model vit",
    "evaluation.patience": "early_stop early_stopping early_stopping_patience patience",
    "evaluation.monitor": "metric monitor valid_metric",
    "trainer.accumulate_batches": "accumulate accumulate_grad_batches grad_accum gradient_accumulation_steps",
    "trainer.gradient_checkpointing": "checkpointing grad_checkpoint gradient_checkpointing",
    "trainer.num_workers": "n_workers num_workers workers",
    "learning_rates.warmup_steps": "warmup warmup_steps",
    "logger": "log logging tracker",
}
"""Key, or group, to what it is called elsewhere."""
_KEY_OF = {word: key for key, words in _KEYS.items() for word in words.split()}
_TRAINER_OF = {
    **dict.fromkeys(("cpu", "false", "0"), "trainer.accelerator=cpu"),
    **dict.fromkeys(("cuda", "gpu", "true"), "trainer.accelerator=gpu"),
    "mps": "trainer.accelerator=mps",
    "auto": "trainer.accelerator=auto",
}
_PRECISION_OF = {
    **dict.fromkeys(("fp16", "float16", "half", "16"), "16-mixed"),
    **dict.fromkeys(("bf16", "bfloat16"), "bf16-mixed"),
    **dict.fromkeys(("fp32", "float32", "full", "32"), "32-true"),
}
_PLAIN = re.compile(r"[A-Za-z0-9_./+:@-]+")


def written(value: Any) -> str:
    """Return a value as it is pasted after `key=`; no value is a placeholder."""
    if value is None:
        return "VALUE"
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else shlex.quote(json.dumps(value, ensure_ascii=False))
    return json.dumps(value) if not isinstance(value, list | dict) else shlex.quote(json.dumps(value))


def in_our_words(word: str, value: Any) -> str | None:
    """Return what to write for `word=value`, to be pasted, None where the word is not known; a value of None was not
    said."""
    word = word.lower().replace("-", "_")
    if (key := _KEY_OF.get(word)) is not None:
        return f"{key}={written(value)}"
    special = _SPECIAL.get(word)
    return None if special is None else special(written(value))


def refuse_values_of_others(trainer: object) -> None:
    """Raise SettingsError, with what to write, for a value by which Lightning or torch call a device or a precision."""
    given = trainer if isinstance(trainer, Mapping) else {}
    precision, accelerator = (str(given.get(key)).lower() for key in ("precision", "accelerator"))
    if precision in _PRECISION_OF:
        raise SettingsError(f"trainer.precision={precision}: write {_precision(precision)}")
    if accelerator.partition(":")[0] == "cuda":
        raise SettingsError(f"trainer.accelerator={accelerator}: write {_accelerator(accelerator)}")


def _rates(value: str) -> str:
    return " ".join(f"learning_rates.{name}={value}" for name in _RATES)


def _devices(value: str) -> str:
    if value.lower() in _TRAINER_OF:
        return _TRAINER_OF[value.lower()]
    return f"trainer.accelerator=gpu trainer.devices={value if value.isdecimal() else 'auto'}"


def _accelerator(value: str) -> str:
    kind, _, number = value.lower().partition(":")
    if number or kind.isdecimal():
        return f"trainer.accelerator=gpu, and CUDA_VISIBLE_DEVICES={number or kind} before the command"
    return _TRAINER_OF.get(kind, "trainer.accelerator=gpu")


def _switch(value: str) -> str:
    return _TRAINER_OF.get(value.lower(), "trainer.accelerator=gpu")


def _precision(value: str) -> str:
    return f"trainer.precision={_PRECISION_OF.get(value.lower(), 'bf16-mixed')}"


def _model(value: str) -> str:
    """Return the group that has such an option; what no group has is a checkpoint of a tower."""
    for group in ("strategy", "user_encoder", "towers"):
        if (config_directory() / group / f"{value.lower()}.yaml").is_file():
            return f"{group}={value.lower()}"
    return f"towers.text.checkpoint={value}, or towers.image.checkpoint={value}"


_SPECIAL: Mapping[str, Callable[[str], str]] = {
    **dict.fromkeys(("lr", "lrs", "learning_rate"), _rates),
    **dict.fromkeys(("devices", "gpu", "gpus", "n_gpus", "ngpu", "num_gpus"), _devices),
    **dict.fromkeys(("accelerator", "device"), _accelerator),
    **dict.fromkeys(("cuda", "use_cuda", "use_gpu"), _switch),
    **dict.fromkeys(("amp", "dtype", "mixed_precision", "precision"), _precision),
    "fp16": lambda _: "trainer.precision=16-mixed",
    "bf16": lambda _: "trainer.precision=bf16-mixed",
    **dict.fromkeys(("arch", "backbone", "encoder", "model", "model_name", "peft"), _model),
    **dict.fromkeys(("use_wandb", "wandb"), lambda _: "logger=wandb"),
    **dict.fromkeys(("dry_run", "fast_dev_run", "smoke"), lambda _: "debug=fast"),
    **dict.fromkeys(
        ("ckpt", "checkpoint", "continue", "resume", "resume_from"),
        lambda _: "nothing: the same command goes on with a run that was stopped",
    ),
    **dict.fromkeys(
        ("optim", "optimizer"), lambda _: "nothing: it is Adam for every strategy, at the rates of learning_rates.*"
    ),
}
