"""What checkpoints of sentence-transformers say of their vectors is what towers do, or is refused with what helps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from peftrec.data.content import ItemContent
from peftrec.errors import SettingsError
from peftrec.models.towers.names import OUTPUT
from peftrec.models.towers.towers import Towers
from peftrec.serving.tower_folders import TrainedTower
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedText
from small_exports import inputs_for
from small_families import TITLES, WIDTH, Saved, save_checkpoint, save_modules, save_settings

OLD = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": False}


def settings_of(saved: Saved, **changes: Any) -> PretrainedText:
    return PretrainedText(checkpoint=str(saved.folder), **changes)


@pytest.fixture
def gemma(tmp_path: Path) -> Saved:
    return save_checkpoint(tmp_path / "gemma", "embedding_gemma")


@pytest.mark.parametrize(
    ("name", "said", "pooling"),
    [
        ("bert", {"pooling_mode": "mean"}, "mean"),
        ("bert", {"pooling_mode": ["cls"]}, "cls"),
        ("bert", OLD | {"pooling_mode_cls_token": True}, "cls"),
        ("bert", OLD, "mean"),  # theirs where nothing is said
        ("qwen3", OLD | {"pooling_mode_lasttoken": True, "include_prompt": False}, "last"),
        ("qwen3", OLD | {"pooling_mode_mean_tokens": True}, "mean"),
    ],
)
def test_a_checkpoint_says_how_it_pools(name: str, said: dict[str, Any], pooling: str, tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path, name)
    plain = settings_of(saved).weights_hash("text", seed=0)
    save_modules(saved.folder, (WIDTH,), said)
    text = settings_of(saved)
    assert text.load("text", seed=0).pooling == text.pooling_of("text") == pooling
    assert TowerPair(text=text, image=None).vectors() == {"text": pooling}
    assert text.weights_hash("text", seed=0) != plain, "other vectors are another run's"
    for own in saved.checkpoint.family.poolings:
        chosen = settings_of(saved, pooling=own)
        assert chosen.load("text", seed=0).pooling == chosen.pooling_of("text") == own
        assert chosen.weights_hash("text", seed=0) == plain, "the key says it then"


@torch.no_grad()
def test_dense_layers_make_the_vector_of_the_mean(gemma: Saved) -> None:
    inputs, tower = inputs_for(gemma), gemma.load()
    mean = gemma.load(pooling="mean")
    torch.testing.assert_close(tower(inputs), gemma.vector(mean(inputs)))
    assert torch.equal(tower.states(inputs, (OUTPUT,))[:, 0], tower(inputs))
    assert torch.equal(tower.states(inputs, (1,)), mean.states(inputs, (1,))), "states are pooled alone"
    assert TowerPair(text=settings_of(gemma), image=None).vectors() == {
        "text": "mean, then 32 to 48 by Identity, then 48 to 32 by Identity"
    }
    shapes = gemma.settings().load("text", seed=0, with_weights=False)
    assert [(name, each.shape) for name, each in shapes.named_parameters()] == [
        (name, each.shape) for name, each in tower.named_parameters()
    ]
    assert all(parameter.is_meta for parameter in shapes.parameters())
    first, second, other = (settings_of(gemma, random_init=True).load("text", seed=seed).dense for seed in (0, 0, 1))
    assert torch.equal(first[0].linear.weight, second[0].linear.weight)
    assert not torch.equal(first[0].linear.weight, other[0].linear.weight)


def test_other_dense_weights_are_another_run(gemma: Saved) -> None:
    before = settings_of(gemma).weights_hash("text", seed=0)
    file = gemma.folder / "3_Dense" / "model.safetensors"
    save_file({"linear.weight": load_file(file)["linear.weight"] + 1}, file)
    assert settings_of(gemma).weights_hash("text", seed=0) != before


def library_vectors(folder: Path) -> Tensor:
    library = pytest.importorskip("sentence_transformers").SentenceTransformer(str(folder), device="cpu")
    return library.encode([title.lower() for title in TITLES], convert_to_tensor=True, normalize_embeddings=True)


@torch.no_grad()
def own_vectors(text: PretrainedText) -> Tensor:
    content = ItemContent(by_tower={"text": text.tokenise(TITLES)})
    tower = text.load("text", seed=0)
    return nn.functional.normalize(Towers(text=tower)(content.batch(np.arange(len(TITLES))))["text"])


def test_vectors_are_those_of_the_library_before_and_after_training(gemma: Saved, tmp_path: Path) -> None:
    """What trained, dense layers among it, is exported as a checkpoint of the library's own kind."""
    torch.testing.assert_close(own_vectors(settings_of(gemma)), library_vectors(gemma.folder), rtol=0, atol=1e-5)
    tower = gemma.load().requires_grad_(True)
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.mul_(1.1)
    source = settings_of(gemma, prompt="title: none | text: ")
    trained = TrainedTower(name="text", tower=tower, source=source, seed=0)
    folder = tmp_path / "exported"
    written = trained.write(folder, inputs_for(gemma), merges=False)
    assert written.form == "checkpoint"
    assert written.reads == (
        f"titles in lower case behind 'title: none | text: ' of at most 30 tokens, pooled by {tower_words(gemma)}"
    )
    assert torch.equal(load_file(folder / "2_Dense" / "model.safetensors")["linear.weight"], gemma.dense[0] * 1.1)
    exported = PretrainedText(checkpoint=str(folder))
    torch.testing.assert_close(own_vectors(exported), library_vectors(folder), rtol=0, atol=1e-5)
    assert not torch.allclose(own_vectors(exported), own_vectors(settings_of(gemma)), atol=1e-3)


def tower_words(saved: Saved) -> str:
    return settings_of(saved).said("text").words()


def change(file: str, **changes: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        place = folder / file
        place.write_text(json.dumps(json.loads(place.read_text()) | changes))

    return write


def listing(**changes: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        modules = json.loads((folder / "modules.json").read_text())
        modules[2] |= changes
        (folder / "modules.json").write_text(json.dumps(modules))

    return write


def weights(tensors: dict[str, Tensor]) -> Callable[[Path], None]:
    return lambda folder: save_file(tensors, folder / "2_Dense" / "model.safetensors")


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "another pooling": (
        lambda folder: save_settings(folder / "1_Pooling", {"pooling_mode": "max"}),
        r"1_Pooling/config.json pools by 'max', which towers do not; .*pooling=mean",
    ),
    "two poolings": (
        change("1_Pooling/config.json", pooling_mode_cls_token=True),
        r"pools by \['cls', 'mean'\], which towers do not; .*pooling=mean",
    ),
    "without the prompt": (
        change("1_Pooling/config.json", include_prompt=False),
        r"leaves prompts out of the vector, which towers do not; .*pooling=mean",
    ),
    "another module": (
        listing(type="sentence_transformers.models.LSTM"),
        r"modules.json lists 'LSTM' behind the encoder, which towers do not have; .*pooling=mean",
    ),
    "a way out of the folder": (listing(path="../2_Dense"), "a module's folder lies within the checkpoint's"),
    "a folder whose name moves the cursor": (
        listing(path="2_\x1b[31mDense"),
        "the name of a module's folder has no control characters",
    ),
    "a folder whose name is two lines": (
        listing(path="2_Dense\nerror: another"),
        "the name of a module's folder has no control characters",
    ),
    "a tensor whose name moves the cursor": (
        weights({"\x1b[2J": torch.zeros(48, 32)}),
        r"cannot read the weights of a dense layer .*\\u001b\[2J",
    ),
    "no list": (lambda folder: (folder / "modules.json").write_text("{}"), "modules.json .*: it holds a list"),  # type: ignore[dict-item]
    "no JSON": (lambda folder: (folder / "modules.json").write_text("["), "cannot read .*modules.json: .*copy it"),  # type: ignore[dict-item]
    "no modules": (
        lambda folder: (folder / "modules.json").write_text("[1]"),  # type: ignore[dict-item]
        "each module has a path and a type",
    ),
    "a residual": (
        change("2_Dense/config.json", use_residual=True),
        "2_Dense/config.json describes a layer that towers do not have; .*pooling=mean",
    ),
    "an activation": (
        change("2_Dense/config.json", activation_function="torch.nn.modules.activation.Softmax"),
        "2_Dense/config.json describes a layer that towers do not have; .*Identity, Tanh",
    ),
    "no size": (change("2_Dense/config.json", in_features="32"), "in_features and out_features are whole numbers"),
    "other widths": (
        change("3_Dense/config.json", out_features=16),
        r"take and give \[32, 48, 48, 16\] numbers, and must lead from the encoder's 32 to 32; .*pooling=mean",
    ),
    "no weights": (
        lambda folder: (folder / "2_Dense" / "model.safetensors").unlink(),
        "cannot read the weights of a dense layer in .*2_Dense/model.safetensors: .*pooling=mean",
    ),
    "weights of another shape": (weights({"linear.weight": torch.zeros(4, 4)}), "size mismatch.*; copy it again"),
    "weights of another layer": (weights({"weight": torch.zeros(48, 32)}), "cannot read the weights of a dense layer"),
    "no finite weights": (weights({"linear.weight": torch.full((48, 32), torch.nan)}), "what are no finite numbers"),
    "weights of whole numbers": (weights({"linear.weight": torch.ones(48, 32).int()}), "what are no finite numbers"),
    "a size that no machine holds": (
        lambda folder: [
            change("2_Dense/config.json", out_features=10**30)(folder),
            change("3_Dense/config.json", in_features=10**30)(folder),
        ],  # type: ignore[dict-item]
        "in_features and out_features are whole numbers from 1 to 65536",
    ),
    "a dense layer behind the length": (
        listing(type="sentence_transformers.models.Normalize"),
        "lists Pooling, Normalize, Dense, Normalize behind the encoder; towers have one pooling, .*pooling=mean",
    ),
    "two poolings behind each other": (
        listing(type="models.Pooling"),
        "lists Pooling, Pooling, Dense, Normalize behind",
    ),
    "no encoder": (
        lambda folder: (folder / "modules.json").write_text('[{"path": "1_Pooling", "type": "Pooling"}]'),  # type: ignore[dict-item]
        "the encoder is the first",
    ),
    "a flag in quotes": (change("1_Pooling/config.json", pooling_mode_cls_token="false"), "is true or false"),
    "a bias in quotes": (change("2_Dense/config.json", bias="false"), "bias is true or false"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_towers_do_not_do_is_refused_until_the_vector_is_said(name: str, gemma: Saved) -> None:
    damage, words = REFUSED[name]
    damage(gemma.folder)
    with pytest.raises(SettingsError, match=rf"(?s)^towers\.text\.checkpoint: .*{words}") as refused:
        settings_of(gemma).load("text", seed=0)
    assert str(refused.value).isprintable()
    assert settings_of(gemma, pooling="mean").load("text", seed=0).pooling == "mean"
