"""A hub on loopback that breaks off, is busy, or is not the hub: one error, and no traceback of its client."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub.utils import logging

from hub_server import NAME, Fault, HubServer, hub
from peftrec.errors import SettingsError
from peftrec.models.towers.hub import LONGEST_WAIT, snapshot
from peftrec.towers.pretrained import PretrainedText
from small_families import COMMIT, Saved, save_checkpoint

REVISION, TREE, CONFIG, WEIGHTS = "revision/main", f"tree/{COMMIT}", "config.json", "model.safetensors"
BY_HAND = f"run `hf download {NAME} --local-dir DIR`, then towers.text.checkpoint=DIR"
HALF_A_MINUTE = 30


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return save_checkpoint(tmp_path_factory.mktemp("hub"), "bert")


@pytest.fixture
def server(bert: Saved, tmp_path: Path) -> Iterator[HubServer]:
    logging.set_verbosity_error()
    snapshot.cache_clear()
    with hub(bert.folder, tmp_path / "cache") as found:
        yield found
    snapshot.cache_clear()
    logging.set_verbosity_warning()


def refused() -> str:
    with pytest.raises(SettingsError) as caught:
        PretrainedText(checkpoint=NAME).load("text", seed=0)
    return str(caught.value)


def test_without_a_fault_the_weights_are_the_hubs(server: HubServer, bert: Saved) -> None:
    tower = PretrainedText(checkpoint=NAME).load("text", seed=0)
    assert all(tensor.equal(bert.reference.state_dict()[name]) for name, tensor in tower.encoder.state_dict().items())


def test_what_a_checkpoint_says_of_its_vectors_comes_along(tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path / "gemma", "embedding_gemma")
    snapshot.cache_clear()
    with hub(saved.folder, tmp_path / "cache"):
        text = PretrainedText(checkpoint=NAME)
        local = PretrainedText(checkpoint=str(saved.folder))
        assert text.weights_hash("text", seed=0) == local.weights_hash("text", seed=0)
        dense = text.load("text", seed=0).dense
    snapshot.cache_clear()
    assert [each.linear.weight.equal(weight) for each, weight in zip(dense, saved.dense, strict=True)] == [True, True]


@pytest.mark.parametrize("place", [REVISION, TREE, CONFIG, WEIGHTS])
@pytest.mark.parametrize("fault", ["429", "503"])
def test_a_busy_hub_is_asked_again_for_half_a_minute_at_most(server: HubServer, place: str, fault: Fault) -> None:
    server.faults[place] = fault
    message = refused()
    assert message.startswith(
        f"towers.text.checkpoint: '{NAME}' is no folder here and not whole in the hub's cache, and"
    )
    assert f"the hub answers {fault}; " in message
    assert BY_HAND in message
    assert sum(server.waits) < HALF_A_MINUTE


@pytest.mark.parametrize("place", [REVISION, TREE, CONFIG, WEIGHTS])
def test_a_download_that_breaks_off(server: HubServer, place: str) -> None:
    server.faults[place] = "breaks_off"
    message = refused()
    assert message.startswith(f"towers.text.checkpoint: '{NAME}' was not fetched: peer closed connection")
    assert f"give the command again, or where there is a network {BY_HAND}" in message
    assert sum(server.waits) < HALF_A_MINUTE


@pytest.mark.parametrize("place", [CONFIG, WEIGHTS])
def test_a_file_that_is_shorter_than_announced(server: HubServer, place: str) -> None:
    server.faults[place] = "shorter"
    assert "was not fetched: Consistency check failed" in refused()


@pytest.mark.parametrize("place", [REVISION, TREE])
@pytest.mark.parametrize("fault", ["html", "shorter"])
def test_what_is_not_the_hub(server: HubServer, place: str, fault: Fault) -> None:
    server.faults[place] = fault
    message = refused()
    assert "what answers in the hub's place is not the hub" in message
    assert BY_HAND in message


@pytest.mark.parametrize("place", [CONFIG, WEIGHTS])
def test_a_page_in_place_of_a_file_is_named(server: HubServer, place: str) -> None:
    server.faults[place] = "html"
    assert f"{place}: a web page in place of the file" in refused()


def test_a_hub_that_asks_for_a_day_is_left_alone(server: HubServer) -> None:
    server.faults[WEIGHTS] = "429"
    server.retry_after = "86400"
    assert "the hub answers 429 and asks to wait 86,400 seconds; give the command again then" in refused()
    assert server.waits == []
    server.retry_after = str(LONGEST_WAIT)
    snapshot.cache_clear()
    assert "the hub answers 429; " in refused()
    assert server.waits


def test_a_user_without_a_home_folder_is_told_where_the_cache_may_lie(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "~/.cache/huggingface/hub")
    assert "no home folder for its cache; set the variable HF_HOME to a folder" in refused()


def test_the_folder_of_an_unknown_user_is_named() -> None:
    with pytest.raises(SettingsError, match="there is no folder '~nobody-here/bert'"):
        PretrainedText(checkpoint="~nobody-here/bert").num_blocks("text")


def test_a_cache_that_cannot_be_written_says_how_to_move_it(server: HubServer, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert "set the variable HF_HOME to another folder" in refused()
