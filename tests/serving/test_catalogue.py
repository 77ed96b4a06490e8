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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("\uff11\uff12", "; '12' there differs in the form of its characters (full width, ligatures) alone: "),
        ("A\u200bB\u200bC", "; 'abc' there differs in several of white space, unseen characters, "),
    ],
)
def test_an_id_that_is_written_otherwise_is_named_with_the_difference(name: str, said: str) -> None:
    assert nearest(name, ["12", "abc", "x7"]).startswith(said)
