"""What stands in the Markdown pages of this repository: links, the anchors that links may name, commands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
_FENCE = re.compile(r"^```(?P<info>[^`\n]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_INDENTED_CODE = re.compile(r"(?<=\n)\n(?: {4}.*\n+)+")
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(?P<words>.+?) *#*$", re.MULTILINE)
_COMMENT = re.compile(r"(^|\s)#.*")
_REMOTE = re.compile(r"[a-z]+:")


def pages() -> list[Path]:
    """Return every page of the documentation: those at the root of the repository, and those of docs/."""
    return [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of code."""

    language: str
    is_runnable: bool
    """Whether it runs on the built-in data, in an empty folder after the blocks of this kind above it on the page."""
    code: str

    def commands(self) -> Iterator[str]:
        """Yield the commands of a shell block, a line each, without comments."""
        for line in self.code.replace("\\\n", " ").splitlines():
            command = _COMMENT.sub("", line).strip()
            if command:
                yield command


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    found = []
    for match in _FENCE.finditer(text):
        language, *words = match["info"].split() or [""]
        found.append(Block(language=language, is_runnable="runnable" in words, code=match["body"]))
    return found


def indented_commands(text: str) -> list[str]:
    """Return the commands of peftrec that stand in indented code, a line each, without comments."""
    joined = _FENCE.sub("", text).replace("\\\n", " ")
    return [_COMMENT.sub("", line).strip() for line in joined.splitlines() if line.startswith("    peftrec ")]


def prose(text: str) -> str:
    """Return a page without its code."""
    return _INLINE_CODE.sub("", _INDENTED_CODE.sub("\n", _FENCE.sub("", text)))


def local_links(text: str) -> list[str]:
    """Return where a page's links within the repository lead, as they are written."""
    return [target for target in _LINK.findall(prose(text)) if not _REMOTE.match(target)]


def anchors(text: str) -> list[str]:
    """Return the names of a page's headings in links, by the rule of the forges, which the site follows too."""
    headings = _HEADING.findall(_FENCE.sub("", text))
    words = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower() for heading in headings]
    return [re.sub(r"[^\w\- ]", "", each).replace(" ", "-") for each in words]
