"""The page of keys says what the settings' classes say today."""

import itertools
import re

from configuration_tables import CONF, KEYS_PAGE, ROOTS, Key, keys_page, sections

from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings, settings_to_config
from peftrec.settings.run_identity import flat_config


def all_keys() -> list[Key]:
    return [key for _, folder, settings in ROOTS for section in sections(folder, settings) for key in section.keys]


def test_the_page_is_current() -> None:
    assert KEYS_PAGE.read_text(encoding="utf-8") == keys_page(), "write it anew: make docs"


def test_every_key_has_a_docstring() -> None:
    assert not [key.name for key in all_keys() if not key.text], "say at the field what the key means"


def test_every_key_of_a_run_is_on_the_page() -> None:
    """Of the default configuration, whose groups are of another class each."""
    named = {key.name for key in all_keys()}
    composed = flat_config(settings_to_config(compose_settings(["learning_rates.finer={}"])))
    lacking = {key for key in composed if key not in named and not key.endswith("_target_")}
    assert lacking == {"strategy_name"}  # which composition fills in


def test_the_page_says_default_role_and_bounds() -> None:
    keys = {key.name: key for section in sections(CONF, Settings) for key in section.keys}
    batch, workers, root = keys["batch_size"], keys["trainer.num_workers"], keys["data.root"]
    assert (batch.takes, batch.default, batch.role) == ("whole number from 2", "`64`", "result")
    assert (workers.default, workers.role) == ("`0`", "cost")
    assert (root.default, root.role) == ("", "place")


def test_every_option_of_a_group_is_on_the_page() -> None:
    text = KEYS_PAGE.read_text(encoding="utf-8")
    for _, folder, settings in ROOTS:
        for section in sections(folder, settings):
            assert all(re.search(rf"`{section.title[1:-1]}={option.name}`", text) for option in section.options)
            assert all(option.about for option in section.options), f"{section.title}: a yaml without a header"


def test_tables_are_named_by_words_of_a_command_and_each_once() -> None:
    """Not by the classes, whose names a reader has never seen."""
    for _, folder, settings in ROOTS:
        found = [section for section in sections(folder, settings) if section.about]
        assert not [section.about for section in found if re.search(r"`[A-Z][A-Za-z]+`", section.about)]
        for above, below in itertools.pairwise(sections(folder, settings)):
            assert not below.about or below.title or above.about != below.about
