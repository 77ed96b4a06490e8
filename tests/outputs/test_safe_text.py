"""Text from data does nothing in any output: terminal, CSV, Markdown, JSON, figures, LaTeX."""

import io
import json
import re
import unicodedata
from html import unescape

import pandas as pd
import pytest

from peftrec.outputs.safe_text import (
    for_csv,
    for_json,
    for_line,
    for_markdown,
    for_markdown_block,
    for_markdown_code,
    for_terminal,
)
from peftrec.progress.terminal import aligned
from peftrec.results.latex_text import escape_latex
from peftrec.results.tables import markdown_grid, to_csv

ESCAPES = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b2J",
    "a\u202eb",
    "a\u2066b",
    "\ud800",
    "a\x00b",
    "one\u2028two",
    "\x7f",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_no_control_character_reaches_an_output(text: str) -> None:
    for safe in (for_terminal, for_line, for_markdown, for_markdown_code, for_markdown_block, escape_latex):
        shown = safe(text)
        assert not [
            character
            for character in shown
            if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl") and character != "\n"
        ]
    assert "\\u" in for_terminal(text)


def test_letters_of_all_alphabets_and_joined_characters_stay() -> None:
    text = "größer 東京 नमस्ते \u200d👨\u200d👩 مرحبا"
    assert for_terminal(text) == for_line(text) == for_markdown(text) == text


def test_a_line_is_one_line() -> None:
    assert for_line("a\nb\tc\rd") == "a\\nb\\tc\\rd"
    assert for_terminal("a\nb") == "a\nb"
    assert aligned([("a\nb", "c"), ("d", "e")]).count("\n") == 1


@pytest.mark.parametrize("text", ['=HYPERLINK("http://a","b")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\x1b[2J"])
def test_no_cell_is_a_formula(text: str) -> None:
    frame = pd.read_csv(io.StringIO(to_csv(pd.DataFrame({"strategy": [text], text: [-1.5]}))))
    first, second = frame.iloc[0]
    assert (first[0], second) in (("'", -1.5), ("\\", -1.5))  # a number stays one
    assert for_csv(text) == first == frame.columns[1]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a | b",
        "![x](http://a)",
        "[x](javascript:a)",
        "`rm`",
        "# head",
        "- item",
        "1. one",
        "$\\frac{$",
        "**bold**",
        "&lt;",
        "a\n\n# b",
        "~~x~~",
        "\\",
    ],
)
def test_markdown_shows_text_as_it_is(text: str) -> None:
    mistune = pytest.importorskip("markdown_it")
    for source in (for_markdown(text), markdown_grid(pd.DataFrame({"a": [text]}))):
        html = mistune.MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(source)
        tags = {"<p>", "</p>", "<table>", "<thead>", "<tr>", "<tbody>", "</tr>", "</thead>", "</tbody>", "</table>"}
        for tag in tags:
            html = html.replace(tag, "")
        left = re.sub(r"</?t[hd][^>]*>", "", html)
        assert "<" not in left
        assert "javascript" not in re.findall(r'href="([^"]*)', html)
        assert for_line(text) in unescape(left)


def test_nothing_ends_a_piece_of_code() -> None:
    assert for_markdown_code("a`b``c") == "```a`b``c```"
    assert for_markdown_code("`") == "`` ` ``"
    assert for_markdown_block("a\n```\nb", "yaml") == "````yaml\na\n```\nb\n````"


def test_json_stays_the_same_json() -> None:
    value = {"title": "\x1b[31m \x9b \u202e größer \U000e0041", "n": 1}
    text = for_json(value)
    assert json.loads(text) == value
    assert "größer" in text
    assert not set(text) & set("\x1b\x9b\u202e\U000e0041")
