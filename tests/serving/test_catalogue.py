"""What an unknown id is answered with."""

import pytest

from peftrec.serving.catalogue import nearest

USERS = [f"user{number:05d}" for number in range(1500)]


@pytest.mark.parametrize("name", ["61", "user61", "user0061", "u00061"])
def test_the_id_of_the_same_number_is_the_nearest(name: str) -> None:
    assert nearest(name, USERS) == "; the nearest is user00061"


def test_without_a_number_letters_tell() -> None:
    assert nearest("user0000x", USERS).startswith("; the nearest are user")
    assert nearest("nobody", USERS) == "; ids look like user00000, user00001, user00002"
    assert nearest("99999", ["a1", "b2"]) == "; ids look like a1, b2"
