"""A store holds what the live towers compute, whole or not at all, whoever builds it and however often it dies."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from peftrec.data.batches import ItemBatch
from peftrec.data.content import ItemContent, TokenisedTitles
from peftrec.errors import StoreError
from peftrec.hidden_states.channels import round_by_channel
from peftrec.hidden_states.manifest import MANIFEST
from peftrec.hidden_states.paths import array_path, building_path
from peftrec.hidden_states.progress import PLAN, read_finished
from peftrec.hidden_states.store import open_store
from peftrec.models.towers.names import Modality
from peftrec.models.towers.stored_precision import StoredPrecision, keep, restore
from peftrec.processes import ProcessRank
from small_models import WIDTH
from small_stores import INDICES, NUM_ITEMS, OPTIONS, build, file_bytes, key_of, small_content, small_source

FOLDER = key_of().folder_name()
NUM_CHUNKS = 5


@dataclass(frozen=True, kw_only=True)
class CountedContent(ItemContent):
    """Remembers which items were asked for, and fails at a chosen batch."""

    asked: list[list[int]]
    fails_at: int = 1000

    def batch(self, items: npt.NDArray[np.integer]) -> ItemBatch:
        if len(self.asked) == self.fails_at:
            raise MemoryError("for the test")
        self.asked.append(items.tolist())
        return super().batch(items)


def counted(fails_at: int = 1000) -> CountedContent:
    content = small_content()
    return CountedContent(by_tower=content.by_tower, asked=[], fails_at=fails_at)


def stop_after(directory: Path, num_batches: int) -> CountedContent:
    """Build until a batch fails; what was computed before is on the disk."""
    content = counted(num_batches)
    with pytest.raises(MemoryError):
        build(directory, source=small_source(content=content), options=replace(OPTIONS, num_threads=1))
    assert (building_path(directory / FOLDER) / PLAN).exists()
    return content


def live_states(items: npt.NDArray[np.int64]) -> dict[Modality, torch.Tensor]:
    with torch.no_grad():
        return small_source().towers.states(small_content().batch(items), INDICES)


# -- what is in it -----------------------------------------------------------------------------------------------


def test_a_store_holds_the_live_states_bit_for_bit(tmp_path: Path) -> None:
    order = small_content().encoding_order(NUM_ITEMS)
    store = build(tmp_path, options=replace(OPTIONS, batch_size=NUM_ITEMS))
    live = live_states(order)  # the same batch, so the same sums in the same order
    read = store.read(torch.from_numpy(order))
    assert list(read) == ["image", "text"]
    for name, tensor in live.items():
        assert read[name].dtype == torch.float32
        assert read[name].shape == (NUM_ITEMS, len(INDICES[name]), WIDTH)
        assert torch.equal(read[name], tensor)


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_a_store_agrees_with_live_states_of_other_batches(tmp_path: Path, batch_size: int) -> None:
    store = build(tmp_path, options=replace(OPTIONS, batch_size=batch_size))
    chosen = np.array([20, 3, 11, 4, 0])
    live = live_states(chosen)
    for name, tensor in store.read(torch.from_numpy(chosen)).items():
        torch.testing.assert_close(tensor, live[name], rtol=0, atol=1e-5)


def test_half_precision_is_the_rounded_store_in_half_the_bytes(built: Path, tmp_path: Path) -> None:
    whole, half = open_store(built, key_of()), build(tmp_path, key_of("float16"))
    headers = sum(128 for _ in whole.manifest.arrays)
    assert whole.num_bytes - headers == 2 * (half.num_bytes - headers)
    items = torch.arange(NUM_ITEMS)
    for name, tensor in half.read(items).items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, whole.read(items)[name].half().float())


def test_eight_bits_are_the_rounded_store_in_a_good_quarter_of_the_bytes(built: Path, tmp_path: Path) -> None:
    whole, bits = open_store(built, key_of()), build(tmp_path, key_of("int8"))
    headers = sum(128 for _ in whole.manifest.arrays)
    assert (bits.num_bytes - headers) * 4 * WIDTH == (whole.num_bytes - headers) * (WIDTH + 4)
    items = torch.arange(NUM_ITEMS)
    for name, tensor in bits.read(items).items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, restore(keep(whole.read(items)[name], "int8")), rtol=0, atol=1e-6)


def test_scales_of_channels_are_those_of_all_items(built: Path, tmp_path: Path) -> None:
    """Of every piece that is rounded for itself, and nothing of what was rounded stays."""
    whole, bits = open_store(built, key_of()), build(tmp_path, key_of("int8_channels"))
    folder = tmp_path / key_of("int8_channels").folder_name()
    assert {path.name for path in folder.iterdir()} == {MANIFEST, *(f"{name}.npy" for name in bits.manifest.arrays)}
    numbers = sum(NUM_ITEMS * len(states) * WIDTH + 4 * len(states) * WIDTH for states in INDICES.values())
    assert bits.num_bytes == 4 * 128 + numbers
    items = torch.arange(NUM_ITEMS)
    for name, tensor in bits.read(items).items():
        exact = whole.read(items)[name]
        scales = exact.abs().amax(dim=0) / 127
        torch.testing.assert_close(bits.scales[name], scales, rtol=1e-5, atol=0)
        expected = restore(keep(exact, "int8_channels", scales), scales=scales)
        torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=float(scales.max()) * 1e-3)


def test_damaged_scales_are_found_when_a_store_is_opened(tmp_path: Path) -> None:
    key = key_of("int8_channels")
    build(tmp_path, key)
    path = array_path(tmp_path / key.folder_name(), "text_scales")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"text_scales\.npy: checksum differs"):
        open_store(tmp_path / key.folder_name(), key)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "int8_channels"])
def test_the_manifest_says_what_rounding_took(built: Path, tmp_path: Path, dtype: StoredPrecision) -> None:
    exact, store = open_store(built, key_of()), build(tmp_path, key_of(dtype))
    items = torch.arange(NUM_ITEMS)
    for name, tensor in store.read(items).items():
        whole = exact.read(items)[name].double()
        expected = ((tensor - whole).square().mean(dim=(0, 2)) / whole.square().mean(dim=(0, 2))).sqrt()
        assert store.manifest.rounding[name] == pytest.approx(expected.tolist(), rel=0.01, abs=1e-12)
    bounds = {"float32": (0, 0), "float16": (1e-5, 1e-3), "bfloat16": (1e-3, 4e-3), "int8": (1e-3, 1e-2)}
    bounds["int8_channels"] = (0, 1e-2)  # [CLS] of a picture's embedding is the same for all
    least, most = bounds[dtype]
    assert all(least <= error <= most for errors in store.manifest.rounding.values() for error in errors)


def test_computing_in_bfloat16_is_close_and_another_store(folder: Path, tmp_path: Path) -> None:
    whole, mixed = open_store(folder, key_of()), build(tmp_path, key_of(compute="bfloat16"))
    items = torch.arange(NUM_ITEMS)
    for name, tensor in mixed.read(items).items():
        difference = (tensor - whole.read(items)[name]).abs().max()
        assert 0 < difference < 0.1
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("modality", ["text", "image"])
def test_one_tower_makes_one_array(built: Path, tmp_path: Path, modality: Modality) -> None:
    content, both = small_content(), open_store(built, key_of())
    alone = ItemContent(by_tower={modality: content.by_tower[modality]})
    store = build(tmp_path, key_of(pair=f"{modality}_only"), small_source(f"{modality}_only", alone))
    assert list(store.rows) == [modality]
    items = torch.arange(NUM_ITEMS)
    torch.testing.assert_close(store.read(items)[modality], both.read(items)[modality], rtol=0, atol=1e-5)


def test_towers_in_training_mode_give_no_dropout(built: Path, tmp_path: Path) -> None:
    source = small_source()
    source.towers.train()
    build(tmp_path, source=source)
    assert file_bytes(tmp_path / FOLDER) == file_bytes(built)


def test_titles_are_encoded_longest_first_each_once(tmp_path: Path) -> None:
    content = counted()
    build(tmp_path, source=small_source(content=content), options=replace(OPTIONS, num_threads=1))
    items = [item for batch in content.asked for item in batch]
    assert sorted(items) == list(range(NUM_ITEMS))
    titles = content.by_tower["text"]
    assert isinstance(titles, TokenisedTitles)
    lengths = titles.lengths()[items]
    assert (np.diff(lengths) <= 0).all()


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        (key_of("float16"), "is no finite float16 number; set hidden_states.dtype=bfloat16 or float32"),
        (key_of(compute="bfloat16"), "set hidden_states.compute=float32"),
        (key_of("int8"), "is no finite number; check the tower's weights"),
        (key_of(), "check the tower's weights"),
    ],
)
def test_a_state_that_is_not_finite_names_its_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Any, remedy: str
) -> None:
    source = small_source()
    states = source.towers.states
    value = 1e5 if key.dtype == "float16" else float("nan")

    def spoil(batch: ItemBatch, indices: Any) -> Any:
        found = states(batch, indices)
        found["text"][batch.items == 17, 1, 3] = value
        return found

    monkeypatch.setattr(source.towers, "states", spoil)
    with pytest.raises(StoreError, match=f"the text tower gives item 'item-17' a state that .*{remedy}"):
        build(tmp_path, key, source)
    assert not (tmp_path / key.folder_name()).exists()


# -- how it comes about ------------------------------------------------------------------------------------------


def test_a_finished_store_is_opened_without_loading_anything(folder: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in tmp_path.iterdir()) == [FOLDER]
    assert sorted(path.name for path in folder.iterdir()) == ["image.npy", MANIFEST, "text.npy"]
    content = counted()
    build(tmp_path, source=small_source(content=content))
    assert content.asked == []


def test_a_resumed_build_computes_nothing_twice_and_gives_the_same_bytes(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for num_batches in range(3, NUM_CHUNKS):
        directory = tmp_path / str(num_batches)
        first = stop_after(directory, num_batches)
        assert not (directory / FOLDER).exists()
        finished = read_finished(building_path(directory / FOLDER))
        assert finished.chunks
        second = counted()
        capsys.readouterr()
        store = build(directory, source=small_source(content=second))
        assert capsys.readouterr().err == f"resuming {building_path(directory / FOLDER)}\n"
        assert len(second.asked) == NUM_CHUNKS - len(finished.chunks)
        repeated = [batch for batch in second.asked if batch in first.asked[: len(finished.chunks)]]
        assert not repeated
        assert store.manifest.build_seconds > finished.seconds
        assert file_bytes(directory / FOLDER) == file_bytes(built)


def test_what_rounding_took_is_of_all_attempts(tmp_path: Path) -> None:
    whole = build(tmp_path / "whole", key_of("int8"))
    with pytest.raises(MemoryError):
        build(
            tmp_path / "killed",
            key_of("int8"),
            small_source(content=counted(4)),
            options=replace(OPTIONS, num_threads=1),
        )
    part = read_finished(building_path(tmp_path / "killed" / key_of("int8").folder_name()))
    assert 0 < len(part.chunks) < NUM_CHUNKS
    assert part.rounding["text"].shape == (len(INDICES["text"]), 2)
    assert build(tmp_path / "killed", key_of("int8")).manifest.rounding == whole.manifest.rounding


def test_a_build_that_is_killed_while_it_rounds_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, rounded = key_of("int8_channels"), []

    def fail_at_the_second(folder: Path, tower: str) -> npt.NDArray[np.float64]:
        if rounded:
            raise MemoryError("for the test")
        rounded.append(tower)
        return round_by_channel(folder, tower)

    build(tmp_path / "whole", key)
    with monkeypatch.context() as patch:
        patch.setattr("peftrec.hidden_states.building.round_by_channel", fail_at_the_second)
        with pytest.raises(MemoryError):
            build(tmp_path / "killed", key)
    content = counted()
    build(tmp_path / "killed", key, small_source(content=content))
    assert not content.asked
    one, other = (file_bytes(tmp_path / name / key.folder_name()) for name in ("whole", "killed"))
    assert one == other


@pytest.mark.parametrize("change", ["batch_size", "lengths", "plan", "array"])
def test_a_build_under_other_settings_starts_again(
    tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_after(tmp_path, 4)
    content, options = counted(), OPTIONS
    beside = building_path(tmp_path / FOLDER)
    if change == "batch_size":
        options = replace(options, batch_size=7)
    elif change == "lengths":  # another version of the tokenizer
        titles = content.by_tower["text"]
        assert isinstance(titles, TokenisedTitles)
        shorter = replace(titles, offsets=titles.offsets // 2)
        content = replace(content, by_tower={**content.by_tower, "text": shorter})
    elif change == "plan":
        (beside / PLAN).write_text("{")
    else:
        (beside / "text.npy").unlink()
    source = small_source(content=content)
    build(tmp_path, source=source, options=options)
    assert "cannot be resumed under these settings; starting again" in capsys.readouterr().err
    assert sum(map(len, content.asked)) == NUM_ITEMS
    expected = small_source(content=replace(content, asked=[]))
    build(tmp_path / "whole", source=expected, options=options)
    assert file_bytes(tmp_path / FOLDER) == file_bytes(tmp_path / "whole" / FOLDER)


def test_a_build_that_was_killed_before_its_last_step_is_only_renamed(folder: Path, tmp_path: Path) -> None:
    expected = file_bytes(folder)
    beside = building_path(folder)
    folder.rename(beside)
    (beside / PLAN).write_text("{}")
    (beside / "finished-0.json").write_text("{}")
    content = counted()
    build(tmp_path, source=small_source(content=content))
    assert content.asked == []
    assert file_bytes(tmp_path / FOLDER) == expected
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["image.npy", MANIFEST, "text.npy"]


class Exchange:
    """Where ranks that are threads meet: the first one's actions reach all, also its errors."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count, timeout=60)
        self.error: BaseException | None = None


@dataclass(frozen=True, kw_only=True)
class ThreadRank(ProcessRank):
    """A thread in a process's place."""

    exchange: Exchange

    def wait_for_all(self) -> None:
        self.exchange.barrier.wait()

    def from_first(self, function: Callable[[], Any]) -> Any:
        if self.is_first:
            try:
                function()
            except BaseException as error:
                self.exchange.error = error
        self.exchange.barrier.wait()
        found = self.exchange.error
        self.exchange.barrier.wait()  # nobody goes on to another action before all have seen how this one ended
        if found is not None:
            raise found


def in_threads(count: int, work: Callable[[ProcessRank], Any]) -> list[BaseException]:
    """Do the work of several ranks and return what they raised."""
    exchange, errors = Exchange(count), list[BaseException]()

    def guarded(rank: int) -> None:
        try:
            work(ThreadRank(rank=rank, count=count, exchange=exchange))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.parametrize("count", [2, 3])
def test_ranks_share_the_work_and_give_the_bytes_of_one(built: Path, tmp_path: Path, count: int) -> None:
    contents = [counted() for _ in range(count)]
    sources = [small_source(content=content) for content in contents]

    def work(rank: ProcessRank) -> None:
        store = build(tmp_path / "several", source=sources[rank.rank], processes=rank)
        assert store.read(torch.tensor([1]))["text"].isfinite().all()

    assert not in_threads(count, work)
    assert file_bytes(tmp_path / "several" / FOLDER) == file_bytes(built)
    sizes = [len(content.asked) for content in contents]
    assert sum(sizes) == NUM_CHUNKS
    assert max(sizes) - min(sizes) <= 1
    assert not in_threads(count, work)  # and now that it is there, all open it
    assert [len(content.asked) for content in contents] == sizes


def test_ranks_resume_what_one_process_began(built: Path, tmp_path: Path) -> None:
    stop_after(tmp_path, 4)
    finished = read_finished(building_path(tmp_path / FOLDER)).chunks
    contents = [counted(), counted()]
    sources = [small_source(content=content) for content in contents]
    assert not in_threads(2, lambda rank: build(tmp_path, source=sources[rank.rank], processes=rank))
    assert sum(len(content.asked) for content in contents) == NUM_CHUNKS - len(finished)
    assert file_bytes(tmp_path / FOLDER) == file_bytes(built)


def test_an_error_of_the_first_rank_is_everyones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    source = small_source()
    errors = in_threads(2, lambda rank: build(tmp_path, source=source, processes=rank))
    assert len(errors) == 2
    assert all(isinstance(error, StoreError) for error in errors)


def test_a_rank_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    class Unseen(ProcessRank):
        def from_first(self, function: Callable[[], Any]) -> Any:
            """What the first did, was done on a disk that is not shared."""

    with pytest.raises(StoreError, match=r"rank 1 on .* does not see what rank 0 made; .*hidden_states\.directory"):
        build(tmp_path, processes=Unseen(rank=1, count=2))
