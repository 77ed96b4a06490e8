"""What is said of a machine, and what is not."""

from pathlib import Path

import pytest

from peftrec.devices import SETTLED, THREADS, WAITING
from peftrec.doctor.machine import SET, place, this_machine, variables, without_credentials


def test_this_machine_has_a_processor_memory_and_room() -> None:
    machine = this_machine({})
    assert machine.devices[-1].kind == "cpu"
    assert machine.threads >= 1
    assert 0 < machine.available_bytes <= machine.memory_bytes
    assert all(place.free_bytes for place in machine.places)


def test_secrets_are_not_shown() -> None:
    found = variables({"HF_TOKEN": "sesame", "WANDB_API_KEY": "", "WANDB_MODE": "offline", "UNRELATED": "x"})
    assert found == {"HF_TOKEN": SET, "WANDB_MODE": "offline"}


def test_what_this_program_settled_itself_is_not_shown() -> None:
    assert variables({THREADS: "2", SETTLED: "2", **WAITING}) == {}
    assert variables({THREADS: "2", "GOMP_SPINCOUNT": "7"}) == {THREADS: "2", "GOMP_SPINCOUNT": "7"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("http://me:word@proxy:8080/x", "http://***@proxy:8080/x"),
        ("https://me@proxy", "https://***@proxy"),
        ("https://hub.example", "https://hub.example"),
        ("me:word@proxy", SET),
        ("http://[me:word@proxy", SET),
    ],
)
def test_an_address_keeps_its_password_for_itself(value: str, shown: str) -> None:
    assert without_credentials(value) == shown


def test_a_place_is_looked_at_where_it_would_be_made(tmp_path: Path) -> None:
    assert place("x", tmp_path / "not" / "yet").is_writable
    file = tmp_path / "file"
    file.touch()
    below_a_file = place("x", file / "folder")
    assert (below_a_file.is_writable, below_a_file.free_bytes) == (False, None)
