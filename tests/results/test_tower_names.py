"""Towers in words: what rows say where they differ in towers or modality."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peftrec.results.comparison import compare
from peftrec.results.runs import find_runs
from peftrec.results.tower_names import encoder_name

TARGET = {"_target_": "made_up.Encoder"}
BERT = {**TARGET, "checkpoint": "package:tiny_towers/bert", "revision": None, "pooling": None, "random_init": False}
VIT = {**TARGET, "checkpoint": "package:tiny_towers/vit", "revision": None, "pooling": None, "random_init": False}
MINILM = {**BERT, "checkpoint": "sentence-transformers/all-MiniLM-L6-v2", "pooling": "mean"}
ROLES = {f"towers.{name}.{key}": "place" for name in ("text", "image") for key in ("checkpoint", "revision")}
Pair = tuple[dict[str, Any] | None, dict[str, Any] | None]


@pytest.fixture
def labels(experiment: Path, add_run: Callable[..., Path]) -> Callable[..., list[str]]:
    """Return the labels of lora's rows, one a pair of towers, and keep nothing else in the folder."""
    config = find_runs(experiment)[0].record.config
    provenance = find_runs(experiment)[0].record.provenance
    for run in find_runs(experiment):
        (run.folder / "record.json").unlink()

    def write(*pairs: Pair, strategy: str = "lora", weights: tuple[str, ...] = ()) -> list[str]:
        for number, (text, image) in enumerate(pairs):
            names = {"text": text, "image": image}
            hashes = {
                name: weights[number] if weights else str(tower["checkpoint"]) for name, tower in names.items() if tower
            }
            add_run(
                strategy,
                1,
                f"{strategy}-{number}",
                config={**config, "seed": 1, "towers": {"_target_": "made_up.Pair", **names}},
                roles=ROLES,
                question_hash=f"{strategy}-{number}",
                provenance=provenance.model_copy(update={"tower_revisions": hashes}),
            )
        return sorted(row.strategy for row in compare(find_runs(experiment)).strategies)

    return write


def test_modalities_are_named_where_encoders_are_the_same(labels: Callable[..., list[str]]) -> None:
    assert labels((BERT, VIT), (BERT, None), (None, VIT)) == ["lora (image)", "lora (text + image)", "lora (text)"]


def test_encoders_are_named_where_modalities_are_the_same(labels: Callable[..., list[str]]) -> None:
    assert labels((BERT, None), (MINILM, None)) == ["lora (MiniLM-L6)", "lora (tiny BERT)"]


def test_both_are_named_where_both_differ(labels: Callable[..., list[str]]) -> None:
    assert labels((BERT, VIT), (MINILM, None)) == [
        "lora (MiniLM-L6, text)",
        "lora (tiny BERT + tiny ViT, text + image)",
    ]


def test_settings_tell_encoders_of_one_name_apart(labels: Callable[..., list[str]]) -> None:
    mean = {**BERT, "pooling": "mean"}
    assert labels((BERT, None), (mean, None)) == ["lora (tiny BERT (pooling=mean))", "lora (tiny BERT (pooling=null))"]


def test_weights_tell_encoders_of_one_folder_name_apart(labels: Callable[..., list[str]]) -> None:
    one, other = {**BERT, "checkpoint": "there/bert"}, {**BERT, "checkpoint": "here/bert"}
    assert labels((one, None), (other, None), weights=("11112222ff", "33334444ff")) == [
        "lora (bert (11112222))",
        "lora (bert (33334444))",
    ]


def test_towers_of_different_strategies_are_one_note(
    labels: Callable[..., list[str]], experiment: Path, add_run: Callable[..., Path]
) -> None:
    labels((BERT, VIT))
    assert labels((MINILM, None), strategy="iisan") == ["iisan", "lora"]
    (note,) = (note for note in compare(find_runs(experiment)).notes if note.startswith("Settings that differ"))
    assert "towers (MiniLM-L6, text: iisan; tiny BERT + tiny ViT, text + image: lora)" in note
    assert "pooling" not in note


@pytest.mark.parametrize(
    ("tower", "name"),
    [
        ({"checkpoint": "google-bert/bert-base-uncased"}, "BERT-base"),
        ({"checkpoint": "somewhere/models--google--vit-base-patch16-224/snapshots/0123abcd"}, "ViT-B/16"),
        ({"checkpoint": "somebody/else-v2"}, "else-v2"),
        ({"checkpoint": "a/folder/of/mine/"}, "mine"),
        ({"checkpoint": None, "architecture": {"model_type": "bert"}, "random_init": True}, "random bert"),
        ({"checkpoint": "package:tiny_towers/bert", "random_init": True}, "random tiny BERT"),
        ({"file": "there/text_vectors.npy", "missing": "error"}, "features text_vectors"),
    ],
)
def test_an_encoder_is_called_what_people_call_it(tower: dict[str, Any], name: str) -> None:
    assert encoder_name(tower) == name
