"""Build the site of the documentation in build/docs: python docs/build_site.py.

The pages link to each other as they lie in the repository, ARCHITECTURE.md as well as docs/, so that the same links
hold on a forge, in an editor and on the site. The site is therefore built from copies that lie the same way: of every
page, and of every other file that one of them links to. README.md is its first page.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from configuration_tables import KEYS_PAGE, keys_page
from markdown_pages import REPOSITORY, local_links, pages

CONFIGURATION = REPOSITORY / "docs" / "mkdocs.yml"
STYLE = REPOSITORY / "docs" / "site.css"
BUILD = REPOSITORY / "build" / "docs"
PAGES, SITE = "pages", "site"
"""Folders beside the copy of the configuration, which names them."""


def main(folder: Path) -> int:
    """Write the page of keys anew, build, and return 1 for any warning."""
    KEYS_PAGE.write_text(keys_page(), encoding="utf-8")
    assemble(folder)
    status = build(folder)
    print(f"the site: {folder / SITE / 'index.html'}" if status == 0 else "the documentation has mistakes; see above")
    return status


def assemble(folder: Path) -> None:
    """Copy the pages, what they link to, and the configuration into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(CONFIGURATION, folder)
    for file in sorted(files()):
        copy = folder / PAGES / file.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".md":  # zensical takes a fence with a second word for no fence
            copy.write_text(file.read_text(encoding="utf-8").replace("```sh runnable\n", "```sh\n"), encoding="utf-8")
        else:
            shutil.copy(file, copy)


def files() -> set[Path]:
    """Return every page, the style, and every file that a page links to. A link that leads nowhere is left to zensical
    and to the tests."""
    found = {*pages(), STYLE}
    for page in pages():
        targets = [link.partition("#")[0] for link in local_links(page.read_text(encoding="utf-8"))]
        linked = [(page.parent / target).resolve() for target in targets if target]
        found |= {file for file in linked if file.is_file()}
    return found


def build(folder: Path) -> int:
    """Run zensical, for which a warning is an error."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run([*command, "--config-file", str(folder / CONFIGURATION.name)], check=False).returncode


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(f"error: {sys.argv[1]}: it takes no argument, and builds in {BUILD}")
    sys.exit(main(BUILD))
