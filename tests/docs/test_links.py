"""Links within the repository lead to files that are there, and to headings that they have."""

import re

from markdown_pages import REPOSITORY, anchors, local_links, pages

CONFIGURATION = (REPOSITORY / "docs" / "mkdocs.yml").read_text(encoding="utf-8")


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    broken = []
    count = 0
    for page in pages():
        for link in local_links(page.read_text(encoding="utf-8")):
            count += 1
            target, _, anchor = link.partition("#")
            file = (page.parent / target).resolve() if target else page
            if not file.is_file() or REPOSITORY not in file.parents:
                broken.append(f"{page.relative_to(REPOSITORY)}: {link}: no such file")
            elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
                broken.append(f"{page.relative_to(REPOSITORY)}: {link}: no such heading")
    assert not broken
    assert count > 100


def test_a_link_is_found_in_prose_and_not_in_code() -> None:
    text = "See [a](a.md#b) and `[c](c.md)`.\n\n```md\n[d](d.md)\n```\n\n    [e](e.md)\n\n![f](f.png)\n"
    assert local_links(text) == ["a.md#b", "f.png"]


def test_headings_have_the_names_that_forges_give_them() -> None:
    text = "# The IISAN repository's layout\n\n## `data`\n\n```\n# no heading\n```\n\n## What it costs: hr@10, a - b\n"
    assert anchors(text) == ["the-iisan-repositorys-layout", "data", "what-it-costs-hr10-a---b"]


def test_every_page_is_in_the_navigation_once() -> None:
    """README.md is the first page, under its own name; the pages of docs/data and all others stand by their paths."""
    named = re.findall(r": ([\w/]+\.md)$", CONFIGURATION, re.MULTILINE)
    assert sorted(named) == sorted(page.relative_to(REPOSITORY).as_posix() for page in pages())
