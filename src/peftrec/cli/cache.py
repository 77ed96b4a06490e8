"""`peftrec cache build|verify|list|prune`: the stores of frozen towers' hidden states, apart from any run."""

import re
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from peftrec.cli.arguments import RUN_SETTINGS, SWITCH, Arguments, Grammar, read_arguments
from peftrec.errors import SettingsError, StoreError, UserError, did_you_mean
from peftrec.progress.terminal import aligned

if TYPE_CHECKING:
    from peftrec.hidden_states.listing import FoundStore
    from peftrec.hidden_states.manifest import Manifest
    from peftrec.settings.run import Settings

HELP = """usage: peftrec cache build [GROUP=OPTION ...] [KEY=VALUE ...]
       peftrec cache verify [DIR | KEY=VALUE ...]
       peftrec cache list [DIR | KEY=VALUE ...]
       peftrec cache prune [DIR | KEY=VALUE ...] [older_than=30d] [yes=true]

A store holds what frozen towers, or frozen lower blocks, compute for every item, pooled or of all its tokens;
strategies with states=store read one, and training builds it where it is missing. DIR is a folder of stores or one
store; without it, hidden_states.directory of the configuration that the words compose.

  build   build the store that a configuration reads, or resume a build that was killed; processes that torchrun or
          srun starts together (one a device of trainer.devices) share the work
  verify  read every byte and compare checksums; exit status 1 where one differs
  list    show what is there: towers, items, states, size, last use, whole or not. It reads manifests and compares
          sizes; bytes that changed in place are found by verify alone
  prune   name abandoned builds and what list calls damaged, and with older_than (5h, 30d, 8w) stores that were not
          read for so long; with yes=true remove them. A DIR that is one store is removed whatever its state

examples:
  peftrec cache build strategy=iisan_cached
  peftrec cache list
  peftrec cache verify runs/hidden_states
  peftrec cache prune older_than=30d"""

HEADINGS = ("STORE", "TOWERS", "ITEMS", "STATES", "DTYPE", "SIZE", "USED", "STATE")
SECONDS = {"h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
GRAMMAR = Grammar(
    verb="cache",
    help=HELP,
    actions=("build", "verify", "list", "prune"),
    keys=("older_than", "yes"),
    values={"yes": SWITCH},
    leaves_others=True,
    composes=RUN_SETTINGS,
    takes_names=True,
    runs_user_code=True,
    needs_words=True,
)


def main(arguments: list[str]) -> int:
    """Do what the first word says."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    action = given.others[0] if given.others else ""
    if action not in ACTIONS:
        raise UserError(f"cache {action}: {did_you_mean(action, ACTIONS)}")
    if given.own and action != "prune":
        raise UserError(f"{next(iter(given.own))}: belongs to cache prune")
    return ACTIONS[action](given)


def build(given: Arguments) -> int:
    """Build the store of a configuration, or say that it is there."""
    from peftrec.settings.composition import compose_settings

    settings = compose_settings(given.others[1:])
    refuse_several_devices(settings)
    from transformers.utils import logging

    from peftrec.devices import resolve_device
    from peftrec.hidden_states.disk import is_there
    from peftrec.processes import ProcessRank, rank_of_environment
    from peftrec.results.tables import number_text
    from peftrec.training.building.reading import prepare_data
    from peftrec.training.building.stored_states import provide_store, store_key
    from peftrec.training.collectives import joined

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    together = nullcontext(ProcessRank()) if rank_of_environment() is None else joined(settings.trainer)
    with together as processes:
        items = prepare_data(settings).items
        folder = Path(settings.hidden_states.directory) / store_key(settings, items).folder_name()
        existed = is_there(folder)
        device = resolve_device(settings.trainer.accelerator)
        manifest = provide_store(settings, items, device, processes).manifest
    if processes.is_first:
        seconds = manifest.build_seconds
        print(
            f"{'exists' if existed else 'built'}: {folder}: {len(items):,} items, {kept_as(manifest)}, "
            f"{megabytes(manifest.num_bytes)}; building took {seconds:.1f} s, "
            f"{number_text(len(items) / seconds)} items/s"
        )
    return 0


def kept_as(manifest: "Manifest") -> str:
    """Return the precision of a store, and what it takes from the state that it takes most from."""
    most = max(error for errors in manifest.rounding.values() for error in errors)
    return f"{manifest.key.dtype} (off by {most:.2g} of a state)" if most else manifest.key.dtype


def refuse_several_devices(settings: "Settings") -> None:
    """Raise SettingsError where several devices are asked for and nobody started a process for each."""
    from peftrec.jobs.launching import processes_to_start

    if (number := processes_to_start(settings.trainer)) > 1:
        raise SettingsError(
            f"trainer.devices: one process would build on one of {number} devices; start it by torchrun "
            f"--nproc-per-node={number} -m peftrec cache build ..., set trainer.devices=1, or leave the building to "
            "peftrec train, whose processes share it"
        )


def verify(given: Arguments) -> int:
    """Compare every checksum; 1 where a store is not what was built."""
    from peftrec.hidden_states.listing import find_stores
    from peftrec.hidden_states.verification import find_problems

    status = 0
    place = place_of(given.others[1:])
    stores = find_stores(place)
    if not stores:
        raise StoreError(f"{place}: no store here; give a folder of stores, or one, named by 16 hexadecimal digits")
    for store in stores:
        if store.state in ("building", "abandoned"):
            print(f"{store.folder}: {store.state}, {store.note}")
            continue
        try:
            problems = list(find_problems(store.folder, extent="everything"))
        except StoreError as error:
            problems = [str(error)]
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
            status = 1
        if not problems:
            print(f"{store.folder}: whole, {megabytes(store.num_bytes)}")
    return status


def show(given: Arguments) -> int:
    """Print a line a store."""
    from peftrec.hidden_states.listing import find_stores

    place = place_of(given.others[1:])
    stores = find_stores(place)
    print_table(stores)
    number = "1 store" if len(stores) == 1 else f"{len(stores)} stores"
    print(f"{number} in {place}, {megabytes(sum(store.num_bytes for store in stores))}")
    return 0


def prune(given: Arguments) -> int:
    """Name what may go, and remove it where the words say yes."""
    from peftrec.hidden_states.listing import find_stores, removable, remove
    from peftrec.hidden_states.paths import is_store

    is_sure = given.switch("yes")
    unused_seconds = seconds_of(given.own["older_than"]) if "older_than" in given.own else None
    place = place_of(given.others[1:])
    stores = find_stores(place)
    if is_store(place):
        chosen = [store for store in stores if store.state != "building"]
    else:
        chosen = removable(stores, unused_seconds=unused_seconds)
    print_table(chosen)
    size = megabytes(sum(store.num_bytes for store in chosen))
    if not is_sure:
        print(f"{len(chosen)} of {len(stores)} stores, {size}, would go; say yes=true to remove them")
        return 0
    for store in chosen:
        remove(store)
    print(f"removed {len(chosen)} of {len(stores)} stores, {size}")
    return 0


def place_of(words: list[str]) -> Path:
    """Return the folder that the words name, or the one of the configuration that they compose."""
    folders = [word for word in words if "=" not in word]
    if folders:
        if len(words) > 1:
            raise UserError(f"{' '.join(words)}: give one folder of stores, or words of a configuration")
        return Path(folders[0]).resolve()  # so that `.` inside a store has the store's name
    from peftrec.settings.composition import compose_settings

    return Path(compose_settings(words).hidden_states.directory)


def seconds_of(duration: str) -> int:
    """Return the seconds of `5h`, `30d` or `8w`. Raises UserError for anything else."""
    found = re.fullmatch(r"(\d+)([hdw])", duration)
    if found is None:
        raise UserError(f"older_than={duration}: give hours, days or weeks: older_than=5h, 30d or 8w")
    return int(found[1]) * SECONDS[found[2]]


def print_table(stores: "list[FoundStore]") -> None:
    """Print what each store holds, and how old it is."""
    if stores:
        print(aligned([HEADINGS, *map(row_of, stores)]))


def row_of(store: "FoundStore") -> tuple[str, ...]:
    """Return the cells of a store."""
    key, origins = store.key, store.origins or {}
    ago = age(time.time() - store.used_at)
    state = f"{store.state}: {store.note}" if store.note else store.state
    if key is None:
        return (store.folder.name, "?", "?", "?", "?", megabytes(store.num_bytes), ago, state)
    return (
        store.folder.name,
        " + ".join(origins[name].checkpoint if name in origins else name for name in key.towers),
        f"{key.num_items:,}",
        " + ".join(str(len(tower.states)) for tower in key.towers.values()) + " of tokens" * (key.form == "tokens"),
        key.dtype if key.compute == "float32" else f"{key.dtype} ({key.compute})",
        megabytes(store.num_bytes),
        ago,
        state,
    )


def age(seconds: float) -> str:
    """Return a duration in its largest unit."""
    for unit in reversed(SECONDS):
        if seconds >= SECONDS[unit]:
            return f"{seconds // SECONDS[unit]:.0f}{unit} ago"
    return "now"


def megabytes(number: int) -> str:
    """Return bytes in words."""
    return f"{number / 1e6:,.1f} MB"


ACTIONS: dict[str, Callable[[Arguments], int]] = {"build": build, "verify": verify, "list": show, "prune": prune}
