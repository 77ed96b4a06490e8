"""Keys that the chosen option of a group lacks and others have: `data.root` beside the built-in data."""

import yaml

from peftrec.config.folder import config_directory


def options_with(key: str) -> list[str]:
    """Return the options of a key's group whose yaml file has it; those of this package alone."""
    group, _, name = key.partition(".")
    nodes = {
        file.stem: yaml.safe_load(file.read_text(encoding="utf-8"))
        for file in sorted((config_directory() / group).glob("*.yaml"))
    }
    return [option for option, node in nodes.items() if name in (node or {})]
