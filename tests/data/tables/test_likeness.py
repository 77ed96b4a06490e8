"""Ids that a reader takes for the same, and what the message about a missing row says of them."""

from unicodedata import normalize

import pytest

from peftrec.data.tables.likeness import look_alike

NFD = normalize("NFD", "café")


@pytest.mark.parametrize(
    ("unknown", "known", "said"),
    [
        ("b00x", "B00X", "'B00X' there differs in capital letters alone: write ids in one case"),
        ("12.0", "12", "'12' there differs in a fraction of zero alone: write whole numbers"),
        ("12", "12.0", "'12.0' there differs in a fraction of zero alone: write whole numbers"),
        ("7", "0007", "'0007' there differs in leading zeros alone: keep the column as text"),
        ("a ", "a", "'a' there differs in white space around it alone: strip it"),
        (NFD, "café", "'café' there differs in how accents are coded (NFC, NFD) alone: write ids in NFC"),
        ("A\u00a01", "A 1", "'A 1' there differs in white space in it alone: write one plain space between words"),
        ("\u30001", "1", "'1' there differs in white space around it alone"),
        ("a\u200b1", "a1", "'a1' there differs in characters that cannot be seen alone: remove them"),
        ("a1", "\ufeffa1", "'\\ufeffa1' there differs in characters that cannot be seen alone"),
        ("a\ufe0f1", "a1", "'a1' there differs in characters that cannot be seen alone: remove them"),
        ("\u3164a\u034f1\U000e0100", "a1", "'a1' there differs in characters that cannot be seen alone"),
        ("\uff11\uff12", "12", "'12' there differs in the form of its characters (full width, ligatures) alone: write"),
        ("\ufb01n", "fin", "'fin' there differs in the form of its characters"),
        ("7.0", "007", "'007' there differs in several of white space, unseen characters, how characters are coded,"),
        ("\u200b \uff10\uff17.0", "7", "'7' there differs in several of"),
    ],
)
def test_an_id_that_looks_alike_is_named_with_the_difference(unknown: str, known: str, said: str) -> None:
    assert look_alike([unknown], ["other", known]).startswith(said)


@pytest.mark.parametrize(
    ("unknown", "known"), [("12.5", "12"), ("0", "00x"), ("ab", "ac"), ("1.0.0", "1.0"), ("a1", "a 1"), ("-1", "1")]
)
def test_other_ids_are_other_ids(unknown: str, known: str) -> None:
    assert look_alike([unknown], [known]) == ""


def test_how_many_ids_differ_so_is_counted() -> None:
    assert "leading zeros alone, as 2 of 3 such ids do:" in look_alike(["01", "02", "9"], ["1", "2", "3"])
