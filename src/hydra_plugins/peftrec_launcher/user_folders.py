"""The user's folders of yaml files, which the command line names, beside those of the package.

Hydra imports this file whenever it starts, so nothing that takes time is imported here.
"""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class UserFolders(SearchPathPlugin):
    """Puts them first, so that a user's `strategy/lora.yaml` is the one that is chosen by `strategy=lora`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from peftrec.code.user_code import config_folders

        for folder in reversed(config_folders()):
            search_path.prepend(provider="user", path=f"file://{folder}")
