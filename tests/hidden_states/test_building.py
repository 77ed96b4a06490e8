"""A store holds what the live towers compute, whole or not at all."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch

from peftrec.data.batches import ItemBatch
from peftrec.data.content import ImageTransform, ItemContent, Pixels, TokenisedTitles
from peftrec.data.synthetic_pictures import RenderedPictures
from peftrec.errors import StoreError
from peftrec.hidden_states.building import build_store
from peftrec.hidden_states.store import HiddenStateStore, StoreKey, TowerKey, open_store
from peftrec.models.towers import OUTPUT, Modality, Towers
from small_models import SIDE, SMALL_PAIRS, VOCABULARY, WIDTH

NUM_ITEMS = 23
INDICES: dict[Modality, tuple[int, ...]] = {"image": (0, 2, OUTPUT), "text": (1, 4)}


@dataclass(frozen=True, kw_only=True)
class DyingContent(ItemContent):
    """Kills its process, without any farewell, at the second batch."""

    at_batch: int = 2

    def batch(self, items: npt.NDArray[np.integer]) -> ItemBatch:
        object.__setattr__(self, "at_batch", self.at_batch - 1)
        if self.at_batch == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(items)


def small_towers(pair: str = "text_and_image") -> Towers:
    return SMALL_PAIRS[pair].load(seed=0)


def small_content(kind: type[ItemContent] = ItemContent) -> ItemContent:
    random = np.random.default_rng(0)
    lengths = random.permutation(np.arange(NUM_ITEMS) % 9 + 2)
    titles = [random.integers(1, VOCABULARY, length).tolist() for length in lengths]
    pictures = RenderedPictures(random.integers(0, 256, (NUM_ITEMS, SIDE, SIDE, 3), dtype=np.uint8))
    transform = ImageTransform(height=SIDE, width=SIDE, mean=(0.5,) * 3, std=(0.5,) * 3)
    return kind(
        titles=TokenisedTitles.from_lists(titles, padding_id=0), pixels=Pixels(pictures, transform, keep_bytes=2**30)
    )


def key_of(dtype: Literal["float32", "float16"] = "float32", *, pair: str = "text_and_image") -> StoreKey:
    towers = {
        name: TowerKey(weights="w", content="c", preprocessing="p", pooling="cls", states=INDICES[name])
        for name in SMALL_PAIRS[pair].modalities
    }
    return StoreKey(items="i", dtype=dtype, towers=towers)


def build(directory: Path, key: StoreKey | None = None, *, batch_size: int = 5) -> HiddenStateStore:
    return build_store(
        directory, key or key_of(), small_towers(), small_content(), num_items=NUM_ITEMS, batch_size=batch_size
    )


def build_and_die(directory: str) -> None:
    """What the killed process runs."""
    content = small_content(DyingContent)
    build_store(Path(directory), key_of(), small_towers(), content, num_items=NUM_ITEMS, batch_size=5)


def live_states(items: npt.NDArray[np.int64]) -> dict[Modality, torch.Tensor]:
    with torch.no_grad():
        return small_towers().states(small_content().batch(items), INDICES)


def test_a_store_holds_the_live_states_bit_for_bit(tmp_path: Path) -> None:
    everything = np.argsort(small_content().titles.lengths(), kind="stable")  # type: ignore[union-attr]
    store = build(tmp_path, batch_size=NUM_ITEMS)
    live = live_states(everything)  # the same batch, so the same sums in the same order
    read = store.read(torch.from_numpy(everything))
    assert list(read) == ["image", "text"]
    for name, tensor in live.items():
        assert read[name].dtype == torch.float32
        assert read[name].shape == (NUM_ITEMS, len(INDICES[name]), WIDTH)
        assert torch.equal(read[name], tensor)


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_a_store_agrees_with_live_states_of_other_batches(tmp_path: Path, batch_size: int) -> None:
    store = build(tmp_path, batch_size=batch_size)
    chosen = np.array([20, 3, 11, 4, 0])
    live = live_states(chosen)
    for name, tensor in store.read(torch.from_numpy(chosen)).items():
        torch.testing.assert_close(tensor, live[name], rtol=0, atol=1e-5)


def test_reading_follows_the_order_asked_for_and_repeats(tmp_path: Path) -> None:
    store = build(tmp_path)
    whole = store.read(torch.arange(NUM_ITEMS))
    for items in ([4], [7, 2, 7, 0, 22, 2], list(range(NUM_ITEMS))[::-1]):
        for name, tensor in store.read(torch.tensor(items)).items():
            assert torch.equal(tensor, whole[name][items])
            assert all(tensor[:, state].is_contiguous() for state in range(tensor.shape[1]))


def test_opening_gives_what_building_gave(tmp_path: Path) -> None:
    built = build(tmp_path)
    opened = open_store(tmp_path / key_of().folder_name(), key_of())
    assert opened.manifest == built.manifest
    assert opened.states.keys() == built.states.keys()
    for name, tensor in opened.states.items():
        assert torch.equal(tensor, built.states[name])
    assert opened.to(torch.device("cpu")) is opened
    assert sorted(path.name for path in tmp_path.iterdir()) == [key_of().folder_name()]


def test_writing_to_what_was_opened_leaves_the_file_alone(tmp_path: Path) -> None:
    first = build(tmp_path)
    kept = first.states["image"][0].clone()
    first.states["image"][0] = 7.0
    assert torch.equal(open_store(tmp_path / key_of().folder_name(), key_of()).states["image"][0], kept)


def test_half_precision_takes_half_the_bytes(tmp_path: Path) -> None:
    whole, half = build(tmp_path), build(tmp_path, key_of("float16"))
    headers = sum(128 for _ in whole.manifest.arrays)
    assert whole.num_bytes - headers == 2 * (half.num_bytes - headers)
    assert whole.num_bytes == sum(path.stat().st_size for path in (tmp_path / key_of().folder_name()).glob("*.npy"))
    items = torch.arange(NUM_ITEMS)
    for name, tensor in half.read(items).items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, whole.read(items)[name].half().float())


@pytest.mark.parametrize("pair", ["text_only", "image_only"])
def test_one_tower_makes_one_array(tmp_path: Path, pair: str) -> None:
    content, both = small_content(), build(tmp_path)
    modality: Modality = "text" if pair == "text_only" else "image"
    alone = ItemContent(titles=content.titles if modality == "text" else None, pixels=content.pixels)
    key = key_of(pair=pair)
    store = build_store(tmp_path, key, small_towers(pair), alone, num_items=NUM_ITEMS, batch_size=5)
    assert list(store.states) == [modality]
    items = torch.arange(NUM_ITEMS)
    torch.testing.assert_close(store.read(items)[modality], both.read(items)[modality], rtol=0, atol=1e-5)


def test_towers_in_training_mode_give_no_dropout(tmp_path: Path) -> None:
    towers = small_towers().train()
    content = small_content()
    store = build_store(tmp_path, key_of(), towers, content, num_items=NUM_ITEMS, batch_size=5)
    again = build(tmp_path / "again")
    assert torch.equal(store.states["text"], again.states["text"])


def test_a_killed_build_leaves_nothing_that_opens_and_the_next_one_works(tmp_path: Path) -> None:
    script = f"import runpy; runpy.run_path({__file__!r})['build_and_die']({str(tmp_path)!r})"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    killed = subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": path}, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = list(tmp_path.iterdir())
    assert left, "it died in the middle, not before"
    assert all(path.name.startswith(".") for path in left)
    folder = tmp_path / key_of().folder_name()
    assert not folder.exists()
    for remains in [folder, *left]:
        with pytest.raises(StoreError, match=r"manifest\.json: missing"):
            open_store(remains, key_of())
    assert torch.equal(build(tmp_path).states["text"], build(tmp_path / "elsewhere").states["text"])


def test_a_build_that_fails_cleans_up(tmp_path: Path) -> None:
    content = small_content()
    with pytest.raises(ValueError, match="carries no image"):
        build_store(
            tmp_path, key_of(), small_towers(), ItemContent(titles=content.titles), num_items=NUM_ITEMS, batch_size=5
        )
    assert not list(tmp_path.iterdir())


def test_of_two_builders_the_first_wins(tmp_path: Path) -> None:
    """The other store appears while this one is built: nobody's work is overwritten, both open it."""

    @dataclass(frozen=True, kw_only=True)
    class Overtaken(ItemContent):
        def batch(self, items: npt.NDArray[np.integer]) -> ItemBatch:
            if not (tmp_path / key_of().folder_name()).exists():
                own = next(tmp_path.glob(".*.partial"))
                own.rename(tmp_path / "aside")  # the same process, so the same temporary name
                build(tmp_path)
                (tmp_path / "aside").rename(own)
            return super().batch(items)

    content = small_content(Overtaken)
    store = build_store(tmp_path, key_of(), small_towers(), content, num_items=NUM_ITEMS, batch_size=5)
    first = open_store(tmp_path / key_of().folder_name(), key_of())
    assert store.manifest == first.manifest
    assert sorted(path.name for path in tmp_path.iterdir()) == [key_of().folder_name()]


def test_a_rename_that_fails_for_another_reason_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError):
        build(tmp_path)
    assert not list(tmp_path.iterdir())
