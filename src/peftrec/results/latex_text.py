"""Text from data as LaTeX, and the room that it takes."""

_COMMANDS = {"~": "asciitilde", "^": "asciicircum", "\\": "backslash", "<": "less", ">": "greater", "|": "bar"}
TEX_SPECIAL = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{character: f"\\text{command}{{}}" for character, command in _COMMANDS.items()},
    **dict(zip('±†"\n\t', (r"$\pm$", r"$\dagger$", "''", " ", " "), strict=True)),
}
NARROW, WIDE, CAPITAL, OTHER = 0.32, 0.92, 0.80, 0.56
"""Widths of characters in em, of Computer Modern Roman at 8 points, rounded up."""
WIDTHS = {
    **dict.fromkeys(" .,;:'`!|il", NARROW),
    **dict.fromkeys("()[]jtfI-rs", 0.43),
    **dict.fromkeys("0123456789", 0.535),
    **dict.fromkeys("mwMWOQ%@±", WIDE),
}
SMALL = 0.9
r"""What \scriptsize is of \footnotesize, rounded up."""


def escape_latex(text: str) -> str:
    """Escape what LaTeX would read as a command; characters beyond ASCII, which pdfTeX may not have, become their code
    points."""
    return "".join(TEX_SPECIAL.get(each) or (each if " " <= each <= "~" else f"[U+{ord(each):04X}]") for each in text)


def breakable_latex(text: str, width: float) -> str:
    """Escape a text for a column of a width in em; words that are wider may break anywhere."""
    return " ".join(
        escape_latex(word) if text_width(word) <= width else r"\allowbreak{}".join(map(escape_latex, word))
        for word in text.split()
    )


def text_width(text: str) -> float:
    """Return the width of a text in em of its font, as escaped, or a little more."""
    return sum(_width(each) for each in text)


def _width(character: str) -> float:
    if not " " <= character <= "~" and character not in TEX_SPECIAL:
        return text_width(f"[U+{ord(character):04X}]")
    return WIDTHS.get(character, CAPITAL if character.isupper() else OTHER)
