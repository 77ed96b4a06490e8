"""Files of checkpoints: folders, the hub's cache, and what to do where one is missing. No network is asked."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from peftrec.errors import SettingsError
from peftrec.models.towers import hub
from peftrec.models.towers.checkpoint_files import CONFIG, PROCESSOR, TOKENIZER, WEIGHTS, Checkpoint, Part
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from small_families import COMMIT, Saved, put_into, save_checkpoint


@pytest.fixture
def bert(tmp_path: Path) -> Saved:
    return save_checkpoint(tmp_path / "bert", "bert")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which cannot be reached."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub.snapshot.cache_clear()
    return tmp_path / "hub"


def checkpoint(name: str | Path, revision: str | None = None) -> Checkpoint:
    return Checkpoint(key="towers.text.checkpoint", name=str(name), revision=revision)


@pytest.mark.parametrize("revision", [COMMIT, "main", None])
def test_a_cached_checkpoint_needs_no_network(bert: Saved, cache: Path, revision: str | None) -> None:
    snapshot = put_into(cache, "someone/small", bert.folder)
    text = PretrainedText(checkpoint="someone/small", revision=revision)
    assert checkpoint("someone/small", revision).folder(WEIGHTS) == snapshot
    tower = text.load("text", seed=0)
    for name, tensor in tower.encoder.state_dict().items():
        assert torch.equal(tensor, bert.reference.state_dict()[name])
    local = PretrainedText(checkpoint=str(snapshot))
    assert text.weights_hash("text", seed=0) == local.weights_hash("text", seed=0)
    assert text.tokenise(["red lamp"]).token_ids.tolist() == [2, 4, 6, 3]
    assert text.preprocessing() == local.preprocessing()


@pytest.mark.parametrize("revision", [COMMIT, "v2", None])
def test_what_is_not_cached_says_how_to_get_it(cache: Path, revision: str | None) -> None:
    with pytest.raises(SettingsError) as caught:
        PretrainedText(checkpoint="someone/small", revision=revision).load("text", seed=0)
    message = str(caught.value)
    option = f" --revision {revision}" if revision else ""
    assert message.startswith("towers.text.checkpoint: 'someone/small'")
    assert f"`hf download someone/small{option} --local-dir DIR`" in message
    assert "towers.text.checkpoint=DIR" in message


@pytest.mark.parametrize("revision", [COMMIT, "main", None])
def test_a_cache_that_holds_a_part_says_both_that_may_be_wrong(bert: Saved, cache: Path, revision: str | None) -> None:
    snapshot = put_into(cache, "someone/small", bert.folder)
    (snapshot / "model.safetensors").unlink()
    assert checkpoint("someone/small", revision).folder(CONFIG) == snapshot
    with pytest.raises(SettingsError) as caught:
        checkpoint("someone/small", revision).folder(WEIGHTS)
    message = str(caught.value)
    option = f" --revision {revision}" if revision else ""
    assert "has no safetensors weights in the hub's cache (model.safetensors, or" in message
    assert f"`hf download someone/small{option} --local-dir DIR`, then towers.text.checkpoint=DIR" in message
    assert "AutoModel.from_pretrained('someone/small')" in message


@pytest.mark.parametrize(
    ("part", "missing", "asks"),
    [
        (TOKENIZER, "tokenizer_config.json", True),
        (WEIGHTS, "model.safetensors", True),
        (TOKENIZER, "model.safetensors", False),
    ],
)
def test_the_cache_alone_is_trusted_where_a_pinned_commit_is_whole_in_it(
    bert: Saved, cache: Path, monkeypatch: pytest.MonkeyPatch, part: Part, missing: str, asks: bool
) -> None:
    snapshot = put_into(cache, "someone/small", bert.folder)
    assert (snapshot / missing).exists()
    (snapshot / missing).unlink()
    asked: list[bool] = []

    def fetch(name: str, *, local_files_only: bool, **_: Any) -> str:
        asked.append(not local_files_only)
        return str(snapshot)

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    with nullcontext() if part is TOKENIZER else pytest.raises(SettingsError):
        checkpoint("someone/small", COMMIT).folder(part)
    assert any(asked) == asks


@pytest.mark.parametrize("revision", [COMMIT, "main", None])
def test_a_hub_name_stands_for_a_commit(bert: Saved, cache: Path, revision: str | None) -> None:
    assert checkpoint(bert.folder).commit() is None
    put_into(cache, "someone/small", bert.folder)
    assert checkpoint("someone/small", revision).commit() == COMMIT


@pytest.mark.parametrize("refusal", [RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError])
def test_what_the_hub_refuses_names_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch, refusal: type[RepositoryNotFoundError]
) -> None:
    def refuse(*_: Any, **__: Any) -> str:
        raise refusal.__new__(refusal)

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(SettingsError, match=rf"'someone/refused' at revision v1 .*{refusal.__name__}.*hf auth login"):
        checkpoint("someone/refused", "v1").folder(CONFIG)


@pytest.mark.parametrize("name", ["/no/such/folder", "~/no/such/folder", "./no/such/folder"])
def test_a_folder_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"towers\.text\.checkpoint: there is no folder '{name}'"):
        checkpoint(name).folder(CONFIG)


def test_a_missing_config_is_named(bert: Saved) -> None:
    (bert.folder / "config.json").unlink()
    with pytest.raises(SettingsError, match=r"towers\.text\.checkpoint: .* holds no config: config\.json"):
        bert.load()


def test_pickled_weights_are_never_read(bert: Saved) -> None:
    (bert.folder / "model.safetensors").unlink()
    (bert.folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    for read in (bert.load, lambda: bert.settings().weights_hash("text", seed=0)):
        with pytest.raises(SettingsError) as caught:
            read()
        message = str(caught.value)
        assert "holds no safetensors weights: model.safetensors, or model.safetensors.index.json" in message
        assert f"AutoModel.from_pretrained('{bert.folder}').save_pretrained('DIR')" in message


def test_the_advice_on_converting_works(bert: Saved, tmp_path: Path) -> None:
    (bert.folder / "model.safetensors").unlink()
    torch.save(bert.reference.state_dict(), bert.folder / "pytorch_model.bin")
    code = WEIGHTS.remedy.format(name=bert.folder, key="k").split('python -c "')[1].split('"')[0]
    exec(code.replace("DIR", str(tmp_path / "converted")), {})
    tower = PretrainedText(checkpoint=str(tmp_path / "converted")).load("text", seed=0)
    for name, tensor in tower.encoder.state_dict().items():
        assert torch.equal(tensor, bert.reference.state_dict()[name])


def test_weights_that_are_not_whole_are_refused_and_never_left_random(bert: Saved) -> None:
    whole = bert.reference.state_dict()
    bert.reference.save_pretrained(
        bert.folder, state_dict={name: whole[name] for name in whole if ".2.output.dense." not in name}
    )
    with pytest.raises(SettingsError, match=r"lack 2 tensors of a BertModel \(encoder\.layer\.2\.output\.dense\.bias"):
        bert.load()
    file = bert.folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(
        SettingsError, match=r"towers\.text\.checkpoint: .*model\.safetensors: no whole safetensors file"
    ):
        bert.load()


def test_a_missing_tokenizer_is_refused_and_never_an_empty_one(bert: Saved) -> None:
    """transformers makes one of special tokens alone, for which every word is unknown."""
    text = bert.pair().text
    assert text is not None
    (bert.folder / "tokenizer.json").unlink()
    (bert.folder / "spm.model").write_bytes(b"sentencepiece")
    with pytest.raises(
        SettingsError, match=r"holds no tokenizer: tokenizer\.json, or vocab\.txt.*sentencepiece"
    ) as caught:
        text.tokenise(["red lamp"])
    assert "towers.text.tokenizer=DIR" in str(caught.value)
    with pytest.raises(SettingsError, match="holds no tokenizer"):
        text.preprocessing()
    elsewhere = PretrainedText(checkpoint=str(bert.folder), tokenizer="someone/nothing", tokenizer_revision="v1")
    with pytest.raises(SettingsError, match=r"towers\.text\.tokenizer: 'someone/nothing' at revision v1"):
        elsewhere.tokenise(["red lamp"])


def changed(**keys: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(json.loads(content) | keys).encode()


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("tokenizer.json", lambda content: b"{"),
        ("tokenizer.json", lambda content: content[: len(content) // 2]),
        ("tokenizer.json", lambda content: b"[" * 100_000),
        ("tokenizer.json", changed(model={"type": "of next year", "vocab": {}})),
        ("tokenizer.json", changed(version="9")),  # the core in Rust raises Exception itself
        ("tokenizer.json", changed(added_tokens=None)),
        ("tokenizer.json", changed(model={})),
        ("tokenizer_config.json", changed(cls_token=0)),
        ("tokenizer_config.json", changed(tokenizer_class=[3])),
    ],
)
def test_a_broken_tokenizer_is_named(bert: Saved, file: str, change: Callable[[bytes], bytes]) -> None:
    text = bert.pair().text
    assert text is not None
    (bert.folder / file).write_bytes(change((bert.folder / file).read_bytes()))
    with pytest.raises(SettingsError, match=r"towers\.text\.checkpoint: cannot use the tokenizer in .*bert") as caught:
        text.tokenise(["red lamp"])
    assert "copy its files again, or set towers.text.tokenizer" in str(caught.value)


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "config.json"])
def test_a_pointer_of_git_lfs_is_named_as_such(bert: Saved, file: str) -> None:
    text = bert.pair().text
    assert text is not None
    (bert.folder / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    for ask in (text.preprocessing, lambda: text.tokenise(["red lamp"])):
        with pytest.raises(
            SettingsError, match=rf"{file}: a pointer of Git LFS in place of the file; run `git lfs pull"
        ):
            ask()


def test_a_folder_in_place_of_a_file_is_named(bert: Saved) -> None:
    text = bert.pair().text
    assert text is not None
    (bert.folder / "tokenizer_config.json").unlink()
    (bert.folder / "tokenizer_config.json").mkdir()
    with pytest.raises(SettingsError, match=r"tokenizer_config\.json: a folder in place of the file"):
        text.preprocessing()


def test_a_missing_image_processor_is_refused_unless_its_settings_are_given(tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path, "vit")
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(SettingsError, match=r"towers\.image\.checkpoint: .* holds no image processor") as caught:
        PretrainedImage(checkpoint=str(tmp_path)).transform()
    assert all(file in str(caught.value) for (file,) in PROCESSOR.enough)
    given: dict[str, Any] = {"image_size": 16, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    assert saved.settings(**given).transform().height == 16  # type: ignore[union-attr]


def test_a_tokenizers_hash_covers_names_and_contents(bert: Saved) -> None:
    files = checkpoint(bert.folder)
    first = files.tokenizer_hash()
    (bert.folder / "config.json").write_text("{}")
    assert files.tokenizer_hash() == first
    (bert.folder / "vocab.txt").write_text("red")
    second = files.tokenizer_hash()
    (bert.folder / "vocab.txt").rename(bert.folder / "merges.txt")
    assert len({first, second, files.tokenizer_hash()}) == 3
    assert set(TOKENIZER.files) >= {file for files in TOKENIZER.enough for file in files}


def test_a_portable_name_is_the_hubs_or_holds_the_digest_of_the_weights(
    bert: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    digest = sha256((bert.folder / "model.safetensors").read_bytes()).hexdigest()
    assert checkpoint("bert").portable_name() == f"bert (local checkpoint, sha256 {digest})"
    assert checkpoint(bert.folder / ".").portable_name() == checkpoint("bert").portable_name()
    assert checkpoint("someone/small").portable_name() == "someone/small"
    assert checkpoint("package:tiny_towers/bert").portable_name().startswith("package:tiny_towers/bert (local")
