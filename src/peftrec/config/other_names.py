"""Options by the names that somebody would guess: the format of a file, what other programs say, the publication."""

from collections.abc import Collection, Mapping

_GUESSES: Mapping[str, Mapping[str, str]] = {
    "data": {
        "table": "arrow csv dataframe excel feather files json jsonl ndjson own own_data own_tables pandas parquet "
        "pq text tsv txt xls xlsx",
        "recbole": "atomic inter",
        "movielens": "ml ml_100k ml_1m ml_10m ml_20m ml_25m ml_32m ml_latest ml_latest_small",
        "amazon_2023": "amazon amazon_reviews",
        "synthetic": "builtin built_in dummy example fake random test toy",
    },
    "strategy": {
        "full": "fft finetune finetuning fine_tune fine_tuning ft full_finetuning full_fine_tuning",
        "frozen": "feature_extraction linear_probe linear_probing",
        "id": "id_embedding ids",
    },
    "objective": {
        "full_softmax": "ce crossentropy cross_entropy softmax",
        "bce": "binary_cross_entropy",
        "gbce": "gsasrec",
    },
    "trainer": {"gpu": "cuda", "ddp": "distributed multi_gpu"},
    "logger": {"tensorboard": "tb", "wandb": "weights_and_biases"},
}
"""Group and option to what else it may be called, in small letters with underscores."""
_SAID = {
    "data=table": "tables of your own (CSV, TSV or Parquet) are data=table data.root=FOLDER",
    "data=recbole": "RecBole's atomic files are data=recbole data.root=FOLDER data.dataset=NAME",
}
"""What is said of some of them, in place of the choice alone."""


def instead_of(group: str, option: str, options: Collection[str]) -> str | None:
    """Return the end of a message about an option that is none of those there are, where its name is a known guess."""
    word = option.casefold().replace("-", "_").replace(" ", "_").lstrip(".")
    for name, guesses in _GUESSES.get(group, {}).items():
        if word in guesses.split() and name in options:
            return _SAID.get(f"{group}={name}", f"write {group}={name}")
    return None
