"""Titles to tokens, by the tokenizer that belongs to a text encoder."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import transformers
from transformers import PretrainedConfig

from peftrec.data.content import TokenisedTitles
from peftrec.errors import SettingsError
from peftrec.models.towers.checkpoint_files import TOKENIZER, Checkpoint
from peftrec.models.towers.families import family_of
from peftrec.models.towers.hub import one_line
from peftrec.models.towers.names import TowerName

_REFUSALS = (OSError, ValueError, ImportError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What transformers raises on files of a tokenizer that it cannot take."""


def tokenise(
    titles: Sequence[str],
    *,
    tower: TowerName = "text",
    config: PretrainedConfig,
    files: Checkpoint | None,
    max_tokens: int,
    lower_case: bool,
    prompt: str = "",
) -> TokenisedTitles:
    """Tokenise all titles for the encoder of `config`, with the tokenizer that `files` hold.

    For an encoder that was trained so (SigLIP) they are padded to its full length, and padding counts as text.
    Raises SettingsError where there is no tokenizer, or one that does not belong to the encoder, or where the prompt
    leaves no token to a title.
    """
    family = family_of(config)
    num_positions = int(config.max_position_embeddings) - family.num_reserved_positions
    if max_tokens > num_positions:
        raise SettingsError(
            f"towers.{tower}.max_tokens: {max_tokens} is more than the {num_positions} positions of the encoder"
        )
    if files is None:
        raise SettingsError(f"towers.{tower}.tokenizer: an architecture has none of its own; name one")
    folder = files.folder(TOKENIZER)
    texts = [prompt + (title.lower() if lower_case else title) for title in titles]
    with _explaining(f"{files.key}: cannot use the tokenizer in {folder}", tower):
        tokenizer: Any = getattr(transformers, family.tokenizer).from_pretrained(folder)
        encoded = tokenizer(texts, truncation=True, max_length=max_tokens, padding=False)["input_ids"]
        of_prompt = len(tokenizer(prompt)["input_ids"]) if prompt else 0
    if of_prompt >= max_tokens:
        raise SettingsError(
            f"towers.{tower}.prompt: it takes {of_prompt} tokens and leaves none to a title; set "
            f"towers.{tower}.max_tokens={of_prompt + max_tokens}"
        )
    _check_tokens(encoded, tower, vocabulary=int(config.vocab_size))
    padding_id = tokenizer.pad_token_id
    if family.attends_to_padding:
        if padding_id is None:
            raise SettingsError(f"towers.{tower}.tokenizer: it names no padding token, which this encoder reads")
        encoded = [ids + [padding_id] * (num_positions - len(ids)) for ids in encoded]
    return TokenisedTitles.from_lists(encoded, padding_id=padding_id or 0)


@contextmanager
def _explaining(what: str, tower: TowerName) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if not _is_of_a_file(error):
            raise
        raise SettingsError(
            f"{what}: {one_line(error)}; copy its files again, or set towers.{tower}.tokenizer"
        ) from error


def _is_of_a_file(error: BaseException) -> bool:
    """Say whether an error is about a tokenizer's files. The library's core, in Rust, raises Exception itself; where
    it panics, it raises a class that cannot be imported and is no Exception."""
    return isinstance(error, _REFUSALS) or type(error) is Exception or type(error).__name__ == "PanicException"


def _check_tokens(encoded: list[list[int]], tower: TowerName, *, vocabulary: int) -> None:
    empty = next((place for place, ids in enumerate(encoded) if not ids), None)
    if empty is not None:
        raise SettingsError(
            f"towers.{tower}.tokenizer: it gives title {empty} no token; use one that adds [CLS] or such"
        )
    highest = max((max(ids) for ids in encoded), default=0)
    if highest >= vocabulary:
        raise SettingsError(
            f"towers.{tower}.tokenizer: it gives token {highest} and the encoder knows {vocabulary}; take another"
        )
