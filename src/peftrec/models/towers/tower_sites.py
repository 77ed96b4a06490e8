"""Sites by tower: `query` is asked of every tower, and `text.query_key_value` of the text tower alone, because not all
families have the same layers."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from peftrec.errors import SettingsError
from peftrec.models.towers.names import TowerName

if TYPE_CHECKING:
    from peftrec.models.towers.towers import Towers

KEY = "strategy.sites"


def sites_by_tower(sites: Iterable[str], towers: "Towers") -> dict[TowerName, tuple[str, ...]]:
    """Return the sites that are asked of each tower.

    Raises SettingsError where one is asked of a tower that there is not, where a tower is asked for none, and where it
    computes one together with others, with the settings that say so.
    """
    present, asked = towers.present(), asked_of_each(sites, towers)
    held = {name: tuple(dict.fromkeys(map(present[name].site_that_holds, asked[name]))) for name in asked}
    for name, own_sites in asked.items():
        if not own_sites:
            raise SettingsError(f"{KEY}: none is asked of the {name} tower; name one of its own, {name}.SITE")
        if fused := [site for site in own_sites if present[name].site_that_holds(site) != site]:
            raise SettingsError(
                f"{KEY}: {', '.join(fused)} of the {name} tower is no layer of its own, but a part of "
                f"{', '.join(dict.fromkeys(map(present[name].site_that_holds, fused)))}; to adapt the whole layer, set "
                f"{_as_setting(held)}"
            )
    return asked


def asked_of_each(sites: Iterable[str], towers: "Towers") -> dict[TowerName, tuple[str, ...]]:
    """Divide sites by tower. Raises SettingsError where one is asked of a tower that there is not."""
    names = tuple(towers.present())
    pairs = [site.rpartition(".")[::2] for site in sites]
    for tower_name, site in pairs:
        if tower_name and tower_name not in names:
            raise SettingsError(f"{KEY}: {tower_name}.{site} is of no tower; the towers are {', '.join(names)}")
    return {name: tuple(site for tower_name, site in pairs if tower_name in ("", name)) for name in names}


def _as_setting(sites: dict[TowerName, tuple[str, ...]]) -> str:
    """Write sites as a command line takes them."""
    is_for_all = len(set(sites.values())) == 1
    named = next(iter(sites.values())) if is_for_all else [f"{name}.{site}" for name in sites for site in sites[name]]
    return f"'{KEY}=[{','.join(named)}]'"
