"""Words that a verb reads itself."""

import pytest

from peftrec.cli.arguments import is_true, take_json_flag, take_words
from peftrec.errors import SettingsError


def test_own_words_are_taken_and_the_others_left() -> None:
    assert take_words(["run=a=b", "k=3", "profile.k=4"], ("run", "k")) == ({"run": "a=b", "k": "3"}, ["profile.k=4"])


@pytest.mark.parametrize(
    ("words", "message"), [(["run="], "run=: give run a value"), (["run=x", "run=y"], "run=y: run is given twice")]
)
def test_own_words_have_one_value(words: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        take_words(words, ("run",))


def test_a_switch_is_true_or_false() -> None:
    assert is_true({"merge": "true"}, "merge")
    assert not is_true({"merge": "false"}, "merge")
    assert not is_true({}, "merge")
    with pytest.raises(SettingsError, match="merge=yes: expected true or false"):
        is_true({"merge": "yes"}, "merge")


def test_json_is_the_only_flag() -> None:
    assert take_json_flag(["run=x", "--json"], verb="recommend") == (["run=x"], True)
    assert take_json_flag(["run=x"], verb="recommend") == (["run=x"], False)
    with pytest.raises(SettingsError, match="unknown flag --jsn; see peftrec recommend --help"):
        take_json_flag(["--jsn"], verb="recommend")
