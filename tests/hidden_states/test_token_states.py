"""A store of all tokens' states holds what the live towers compute, without padding, and is as safe as a pooled one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from peftrec.data.batches import ItemBatch, TokenBatch
from peftrec.data.content import TokenisedTitles
from peftrec.errors import StoreError
from peftrec.hidden_states.arrays import ArrayRows, read_header, write_array
from peftrec.hidden_states.listing import find_stores
from peftrec.hidden_states.manifest import MANIFEST, ArrayFile, read_manifest
from peftrec.hidden_states.paths import building_path
from peftrec.hidden_states.progress import read_finished
from peftrec.hidden_states.store import HiddenStateStore, open_store
from peftrec.hidden_states.token_rows import TokensInMemory, TokensOnDisk, offsets_of
from peftrec.hidden_states.verification import find_problems
from peftrec.models.towers.names import Modality
from peftrec.models.towers.stored_precision import StoredPrecision, keep
from small_models import WIDTH
from small_stores import NUM_ITEMS, OPTIONS, build, file_bytes, key_of, small_content, small_source

LAYERS: dict[Modality, tuple[int, ...]] = {"image": (0, 2), "text": (1, 4)}
PICTURE_TOKENS = 5


def token_key(dtype: StoredPrecision = "float32"):
    """The key of the small catalogue's token states."""
    key = key_of(dtype, form="tokens")
    towers = {name: tower.model_copy(update={"states": LAYERS[name]}) for name, tower in key.towers.items()}
    return key.model_copy(update={"towers": towers})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tokens")
    build(directory, token_key())
    return directory / token_key().folder_name()


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / built.name)


def title_lengths() -> np.ndarray:
    titles = small_content().by_tower["text"]
    assert isinstance(titles, TokenisedTitles)
    return titles.lengths()


def live(items: list[int]) -> dict[Modality, TokenBatch]:
    with torch.no_grad():
        return small_source().towers.eval().token_states(small_content().batch(np.array(items)), LAYERS)


def read(store: HiddenStateStore, items: list[int]) -> dict[Modality, TokenBatch]:
    return dict(store.read(torch.tensor(items)))  # type: ignore[arg-type]


@pytest.mark.parametrize("items", [[0], [20, 3, 11, 4, 0], [7, 7], list(range(NUM_ITEMS))])
def test_it_holds_the_live_states_of_all_tokens(built: Path, items: list[int]) -> None:
    expected = live(items)
    for name, found in read(open_store(built, token_key()), items).items():
        assert found.states.dtype == torch.float32
        assert torch.equal(found.mask, expected[name].mask)
        chosen = found.mask
        torch.testing.assert_close(found.states[chosen], expected[name].states[chosen], rtol=0, atol=1e-5)


def test_padding_takes_no_byte(built: Path) -> None:
    rows = {"text": int(title_lengths().sum()), "image": NUM_ITEMS * PICTURE_TOKENS}
    for name, number in rows.items():
        array = open_store(built, token_key()).manifest.arrays[name]
        assert array.shape == (number, 2, WIDTH)
        assert array.bytes == 128 + 4 * number * 2 * WIDTH


def test_every_place_gives_the_same(built: Path) -> None:
    items = [5, 22, 0, 13]
    on_disk = read(open_store(built, token_key()), items)
    for choice in ("host", "device", "disk"):
        store = open_store(built, token_key()).placed(choice, torch.device("cpu"))  # type: ignore[arg-type]
        assert isinstance(store.rows["text"], TokensOnDisk if choice == "disk" else TokensInMemory)
        batch = store.batch(np.array(items))
        for name, found in read(store, items).items():
            assert torch.equal(found.states, on_disk[name].states)
            assert torch.equal(found.mask, on_disk[name].mask)
            carried = batch[name]
            assert torch.equal(carried.states, found.states)


def test_a_batch_of_it_travels(built: Path) -> None:
    states = open_store(built, token_key()).batch(np.array([1, 2]))
    batch = ItemBatch(items=torch.tensor([1, 2]), states=states)
    assert len(list(batch.tensors())) == 5
    there = batch.to(torch.device("meta")).states
    assert there is not None
    assert isinstance(there["text"], TokenBatch)
    assert there["text"].states.device.type == "meta"


def test_each_state_of_a_batch_lies_in_one_piece(built: Path) -> None:
    """A reader of several states takes one at a time."""
    found = read(open_store(built, token_key()), [3, 9, 1])["text"].states
    assert all(found[:, :, state].is_contiguous() for state in range(2))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_states_are_kept_rounded(built: Path, tmp_path: Path, dtype: StoredPrecision) -> None:
    items = list(range(NUM_ITEMS))
    exact = read(open_store(built, token_key()), items)
    store = build(tmp_path, token_key(dtype))
    for name, found in read(store, items).items():
        expected = keep(exact[name].states, dtype)
        assert found.states.dtype == expected.dtype
        assert torch.equal(found.states[found.mask], expected[found.mask])
        assert all(0 < error < 0.02 for error in store.manifest.rounding[name])


def test_a_tower_restores_states_by_the_scales_that_items_share(tmp_path: Path) -> None:
    towers = small_source().towers.eval()
    exact = live(list(range(NUM_ITEMS)))
    store = build(tmp_path, token_key("int8_channels"))
    towers.start_from_stored({name: (0, LAYERS[name][1]) for name in LAYERS})
    towers.read_from(store)
    for name, found in read(store, list(range(NUM_ITEMS))).items():
        prefix = towers.present()[name].prefix
        assert prefix is not None
        assert found.states.dtype == torch.int8
        with prefix.holding(found):
            state = prefix.kept_state(LAYERS[name][1])
        expected, step = exact[name].states[:, :, 1][found.mask], store.scales[name][1]
        assert bool(((state[found.mask] - expected).abs() <= step / 2 + 1e-5).all())
        batch = towers.filled(ItemBatch(items=torch.arange(NUM_ITEMS)))
        assert torch.equal(batch.states[name].states[:, :, 1], state)  # what other towers take as well


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_batches_it_was_built_by_do_not_show(built: Path, tmp_path: Path, batch_size: int) -> None:
    items = list(range(NUM_ITEMS))
    expected = read(open_store(built, token_key()), items)
    for name, found in read(
        build(tmp_path, token_key(), options=replace(OPTIONS, batch_size=batch_size)), items
    ).items():
        torch.testing.assert_close(found.states[found.mask], expected[name].states[found.mask], rtol=0, atol=1e-5)


def test_a_killed_build_goes_on_and_gives_the_same_bytes(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, calls = small_source(), list[int]()
    compute = source.towers.token_states

    def failing(*arguments: object):
        calls.append(len(calls))
        if len(calls) == 4:
            raise MemoryError("for the test")
        return compute(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(source.towers, "token_states", failing)
    with pytest.raises(MemoryError):
        build(tmp_path, token_key(), source, options=replace(OPTIONS, num_threads=1))
    store = tmp_path / token_key().folder_name()
    assert not store.exists()
    done = read_finished(building_path(store)).chunks
    assert done
    again = small_source()
    compute = again.towers.token_states
    calls.clear()
    monkeypatch.setattr(again.towers, "token_states", lambda *arguments: calls.append(0) or compute(*arguments))
    build(tmp_path, token_key(), again)
    assert "resuming" in capsys.readouterr().err
    assert len(calls) == -(-NUM_ITEMS // OPTIONS.batch_size) - len(done)
    assert file_bytes(store) == file_bytes(built)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a killed build leaves."""
    directory, source = tmp_path_factory.mktemp("killed"), small_source()
    compute, calls = source.towers.token_states, list[int]()

    def failing(*arguments: object):
        calls.append(0)
        if len(calls) == 4:
            raise MemoryError("for the test")
        return compute(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(source.towers, "token_states", failing)
        with pytest.raises(MemoryError):
            build(directory, token_key(), source, options=replace(OPTIONS, num_threads=1))
    folder = building_path(directory / token_key().folder_name())
    assert read_finished(folder).chunks
    return folder


@pytest.mark.parametrize("name", ["text.npy", "text_lengths.npy", "finished-0.json", "plan.json"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00"])
def test_a_build_goes_on_or_begins_again_whatever_became_of_its_files(
    name: str, content: bytes, killed: Path, built: Path, tmp_path: Path
) -> None:
    store = tmp_path / token_key().folder_name()
    beside = shutil.copytree(killed, building_path(store))
    (beside / name).write_bytes(content)
    assert find_stores(tmp_path)[0].state == "abandoned"
    build(tmp_path, token_key())
    assert file_bytes(store) == file_bytes(built)


@pytest.mark.parametrize(
    "changed",
    [
        {"chunks": [0, 10**9]},
        {"chunks": [-1]},
        {"rounding": {}},
        {"rounding": {"text": [[0.0, 1.0]] * 2, "image": [[0.0, 1.0]] * 3}},
        {"rounding": {"text": [[-1.0, 1.0]] * 2, "image": [[0.0, 1.0]] * 2}},
    ],
)
def test_a_build_does_not_go_on_by_what_none_of_it_noted(
    changed: dict[str, object], killed: Path, built: Path, tmp_path: Path
) -> None:
    store = tmp_path / token_key().folder_name()
    noted = shutil.copytree(killed, building_path(store)) / "finished-0.json"
    noted.write_text(json.dumps(json.loads(noted.read_text()) | changed))
    shutil.copy(killed / "finished-0.json", noted.with_name("finished-1.json"))  # which adds to it
    assert find_stores(tmp_path)[0].state == "abandoned"
    build(tmp_path, token_key())
    assert file_bytes(store) == file_bytes(built)


@pytest.mark.parametrize("name", ["text.npy", "image.npy", "text_lengths.npy", "image_lengths.npy"])
@pytest.mark.parametrize("place", [0.3, 0.999])
def test_a_flipped_byte_is_found_in_every_file(folder: Path, name: str, place: float) -> None:
    content = bytearray((folder / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(StoreError, match=rf"{name}: checksum differs.*delete"):
        open_store(folder, token_key())
    assert len(list(find_problems(folder, extent="everything"))) == 1


def test_a_missing_file_of_lengths_is_named(folder: Path) -> None:
    (folder / "text_lengths.npy").unlink()
    with pytest.raises(StoreError, match=r"text_lengths\.npy: missing"):
        open_store(folder, token_key())


def test_lengths_that_do_not_add_up_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checksums of both files hold, so that they are of two stores."""
    lengths = title_lengths().reshape(-1, 1, 1)
    lengths[3] += 1
    write_array(folder / "text_lengths.npy", lengths, "int32")
    monkeypatch.setattr("peftrec.hidden_states.store.find_problems", lambda *_, **__: iter(()))
    with pytest.raises(StoreError, match=r"text_lengths\.npy: lengths of .* stored; delete"):
        open_store(folder, token_key())


@pytest.mark.parametrize("change", ["more items", "fewer items", "no checksums", "another number of states"])
def test_a_manifest_that_contradicts_its_key_is_refused(folder: Path, change: str) -> None:
    """Its checksum holds, and those of the files: it was written so."""
    manifest = read_manifest(folder)
    lengths, states = manifest.arrays["text_lengths"], manifest.arrays["text"]
    array = {
        "more items": {"text_lengths": lengths.model_copy(update={"shape": (NUM_ITEMS + 1, 1, 1)})},
        "fewer items": {"text": states.model_copy(update={"shape": (NUM_ITEMS - 1, *states.shape[1:])})},
        "no checksums": {"text": states.model_copy(update={"crc32": ()})},
        "another number of states": {"text": states.model_copy(update={"shape": (states.shape[0], 1, 2 * WIDTH)})},
    }[change]
    changed = manifest.model_copy(update={"arrays": manifest.arrays | array})
    (folder / MANIFEST).write_bytes(changed.to_bytes())
    with pytest.raises(StoreError, match=rf"{MANIFEST}: {next(iter(array))} of shape .* not what the key describes; "):
        open_store(folder, token_key())


def test_a_file_that_declares_more_than_it_holds_is_refused(folder: Path) -> None:
    """Before anything of that size is made."""
    manifest, path = read_manifest(folder), folder / "text.npy"
    shape, found = (10**12, *manifest.arrays["text"].shape[1:]), path.read_bytes()
    offset = read_header(path).offset
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
        stream.write(found[offset:])
    arrays = manifest.arrays | {"text": ArrayFile.of(path, shape)}
    (folder / MANIFEST).write_bytes(manifest.model_copy(update={"arrays": arrays}).to_bytes())
    with pytest.raises(
        StoreError, match=r"text\.npy: float32\(1000000000000, .* takes [\d,]+ bytes, and it has [\d,]+; "
    ):
        open_store(folder, token_key())


def test_a_state_that_is_not_finite_names_its_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = small_source()
    compute = source.towers.token_states

    def spoil(batch, indices):  # type: ignore[no-untyped-def]
        found = compute(batch, indices)
        found["image"].states[batch.items == 17, 2, 1, 3] = float("nan")
        return found

    monkeypatch.setattr(source.towers, "token_states", spoil)
    with pytest.raises(StoreError, match="the image tower gives item 'item-17' a state"):
        build(tmp_path, token_key(), source)


def test_what_stands_in_the_place_of_padding_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = small_source()
    compute = source.towers.token_states

    def spoil(batch, indices):  # type: ignore[no-untyped-def]
        found = compute(batch, indices)
        found["text"].states[~found["text"].mask] = float("nan")
        return found

    monkeypatch.setattr(source.towers, "token_states", spoil)
    assert all(tokens.states.isfinite().all() for tokens in read(build(tmp_path, token_key(), source), [0, 5]).values())


def test_no_room_is_said_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(
        StoreError, match=r"needs [\d,]+ bytes and 10,000 are free; .*hidden_states\.dtype=float16, or int8"
    ):
        build(tmp_path, token_key())
    assert not list(tmp_path.glob("*.building"))


def test_a_file_that_is_cut_while_it_is_read_is_an_error(folder: Path) -> None:
    store = open_store(folder, token_key())
    with (folder / "text.npy").open("r+b") as stream:
        stream.truncate(200)
    with pytest.raises(StoreError, match="cut off"):
        store.read(torch.tensor([NUM_ITEMS - 1]))


def test_gathering_is_indexing(tmp_path: Path) -> None:
    lengths = np.array([3, 1, 4, 2])
    values = torch.randn(10, 2, 3, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "states.npy", values.numpy())
    offsets = torch.from_numpy(offsets_of(lengths))
    disk = TokensOnDisk(ArrayRows.for_reading(tmp_path / "states.npy"), offsets)
    for rows in (disk, disk.load(), TokensInMemory(values, offsets)):
        for items in ([2], [0, 2, 1], [3, 3], []):
            found = rows.gather(torch.tensor(items, dtype=torch.long))
            assert found.mask.sum(dim=1).tolist() == lengths[items].tolist()
            spans = [values[offsets[item] : offsets[item + 1]] for item in items]
            assert torch.equal(found.states[found.mask], torch.cat([*spans, values[:0]]))
