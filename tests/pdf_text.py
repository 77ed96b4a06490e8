"""The words of a PDF that Chromium printed, for tests: enough of the format for the files that it writes."""

import re
import unicodedata
import zlib

_OBJECT = re.compile(rb"(\d+) 0 obj\n(.*?)\nendobj", re.DOTALL)
_STREAM = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.DOTALL)
_FONT = re.compile(rb"/F(\d+) (\d+) 0 R")
_DRAWN = re.compile(r"/F(\d+) [\d.]+ Tf|<([0-9A-F]+)>(?= Tj)")
_ONE = re.compile(r"^<(\w{4})> <(\w{4,})>$", re.MULTILINE)
_RANGE = re.compile(r"^<(\w{4})> <(\w{4})> <(\w{4})>$", re.MULTILINE)


def text_of_pages(pdf: bytes) -> list[str]:
    """Return the text of each page in the order in which it is drawn, without spaces: letters are placed one by one."""
    objects = {int(number): body for number, body in _OBJECT.findall(pdf)}
    pages = [body for body in objects.values() if b"/Type /Page\n" in body]
    return [_text(page, objects) for page in pages]


def _text(page: bytes, objects: dict[int, bytes]) -> str:
    fonts = {name.decode(): objects[int(number)] for name, number in _FONT.findall(page)}
    letters_of = {name: _letters(_stream(body, b"/ToUnicode", objects)) for name, body in fonts.items()}
    drawn: list[str] = []
    letters: dict[str, str] = {}
    for font, glyphs in _DRAWN.findall(_stream(page, b"/Contents", objects)):
        if font:
            letters = letters_of[font]
        drawn += [letters.get(glyphs[at : at + 4], "") for at in range(0, len(glyphs), 4)]
    return "".join(unicodedata.normalize("NFKC", "".join(drawn)).split())


def _stream(body: bytes, key: bytes, objects: dict[int, bytes]) -> str:
    """Return the content that an object's key refers to."""
    place = re.search(key + rb" (\d+) 0 R", body)
    content = place and _STREAM.search(objects[int(place[1])])
    assert content, key
    return zlib.decompress(content[1]).decode("latin-1")


def _letters(table: str) -> dict[str, str]:
    """Return glyph, four hexadecimal digits, to its text."""
    letters = {glyph: bytes.fromhex(text).decode("utf-16-be") for glyph, text in _ONE.findall(table)}
    for first, last, text in _RANGE.findall(table):
        for place, glyph in enumerate(range(int(first, 16), int(last, 16) + 1)):
            letters[f"{glyph:04X}"] = chr(int(text, 16) + place)
    return letters
