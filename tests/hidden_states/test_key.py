"""A store's name is the hash of all that decides its content."""

from typing import Any

import pytest

from peftrec.hidden_states.key import StoreKey, TowerKey


def tower_key(**changes: Any) -> TowerKey:
    values = {"weights": "w", "content": "c", "preprocessing": "p", "pooling": "cls", "states": (0, 1)}
    return TowerKey.model_validate(values | changes)


def store_key(**changes: Any) -> StoreKey:
    towers = {"image": tower_key(), "text": tower_key()}
    return StoreKey.model_validate({"items": "i", "num_items": 6, "dtype": "float32", "towers": towers} | changes)


OTHERS = {
    "items": "other",
    "num_items": 7,
    "dtype": "float16",
    "compute": "bfloat16",
    "form": "tokens",
    "format_version": 99,
    "code": "other",
    "towers": {"text": tower_key()},
}


@pytest.mark.parametrize("part", sorted(OTHERS))
def test_every_part_counts(part: str) -> None:
    assert store_key(**{part: OTHERS[part]}).folder_name() != store_key().folder_name()


def test_no_part_is_left_out_above() -> None:
    assert set(OTHERS) == set(StoreKey.model_fields)


@pytest.mark.parametrize("part", sorted(TowerKey.model_fields))
def test_every_part_of_a_towers_key_counts(part: str) -> None:
    changed = tower_key(**{part: (0, 2) if part == "states" else "other"})
    assert store_key(towers={"image": changed, "text": tower_key()}).folder_name() != store_key().folder_name()


def test_equal_keys_have_one_name() -> None:
    turned = store_key(towers={name: tower_key() for name in ("text", "image")})
    assert turned.folder_name() == store_key().folder_name()
    assert StoreKey.model_validate_json(store_key().model_dump_json()) == store_key()
    assert len(store_key().folder_name()) == 16
