"""The site is built without a warning, knows every plugin that it names, and needs no network."""

import re
from pathlib import Path

import build_site
import pytest
import yaml
from markdown_pages import pages

import peftrec

CONFIGURATION = yaml.safe_load(build_site.CONFIGURATION.read_text(encoding="utf-8"))


def test_zensical_knows_every_plugin() -> None:
    """It ignores others without a word."""
    config = pytest.importorskip("zensical.config")
    known = config._PLUGIN_UNSUPPORTED_OPTIONS
    named = [plugin if isinstance(plugin, str) else next(iter(plugin)) for plugin in CONFIGURATION["plugins"]]
    assert set(named) <= set(known)
    assert "nonsense" not in known


def test_what_pages_link_to_is_copied_where_they_look_for_it(tmp_path: Path) -> None:
    build_site.assemble(tmp_path / "site")
    copied = tmp_path / "site" / build_site.PAGES
    assert len(list(copied.rglob("*.md"))) >= len(pages())
    assert (copied / "CITATION.cff").is_file()
    assert (copied / "benchmarks" / "tuned_budget.svg").is_file()
    assert (copied / "examples" / "own_strategy" / "README.md").is_file()


def test_the_reference_has_every_public_name() -> None:
    page = (build_site.REPOSITORY / "docs" / "python_reference.md").read_text(encoding="utf-8")
    assert {f"peftrec.{name}" for name in peftrec.__all__} <= set(re.findall(r"^::: (\S+)$", page, re.MULTILINE))


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing(tmp_path: Path) -> None:
    """What a browser loads from elsewhere is a source, or a link of the head; links in the text are for readers."""
    pytest.importorskip("zensical")
    build_site.assemble(tmp_path / "site")
    assert build_site.build(tmp_path / "site") == 0
    built = sorted((tmp_path / "site" / build_site.SITE).rglob("*.html"))
    assert len(built) >= len(pages())
    for page in built:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'src="(?:https?:)?//[^"]*"|<link[^>]*href="(?:https?:)?//[^"]*"', text), page
    assert "AdapterBank" in (tmp_path / "site" / build_site.SITE / "docs" / "python_reference.html").read_text()
