"""A finished run in memory, ready to be asked: what `peftrec.load_run` returns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from peftrec.cold_start.content_neighbours import KEY
from peftrec.cold_start.frozen_content import FrozenContent
from peftrec.cold_start.neighbours_of_run import Asked, ChosenWeight, NeighboursOfRun, NeighboursOnTest
from peftrec.data.interactions import Interactions
from peftrec.data.items import Items
from peftrec.errors import DataError
from peftrec.progress.quiet import quieten_libraries
from peftrec.results.record import read_finished
from peftrec.results.run_summary import RunSummary
from peftrec.serving.answer_tables import as_columns, no_rows, titles_of
from peftrec.serving.catalogue import ServedCatalogue, rows_of
from peftrec.serving.cold_items import encode_cold_items, read_cold_items
from peftrec.serving.given import (
    HISTORY,
    USERS,
    given_count,
    given_id,
    given_ids,
    given_list,
    given_path,
    given_switch,
    given_weight,
)
from peftrec.serving.many_users import recommend_in_blocks
from peftrec.serving.user_histories import SECONDS_A_DAY, UserHistories
from peftrec.serving.user_states import user_states
from peftrec.training.run.restored_run import RestoredRun, restore_run

ItemTable = str | Path | pd.DataFrame
"""Items that the run has not met: a DataFrame, or a .csv or .tsv file, with the columns `item`, `title`, `image` and
further texts as far as the run has towers for them. Images are paths, below the file's folder or, of a DataFrame, the
current one."""


ContentWeight = Asked | Literal["off"]
"""How much content neighbours count: a number from 0, "auto" for the one that validation chooses, or "off"."""


class EncodedItems(NamedTuple):
    """Vectors of items, row by row; `ids, vectors = run.encode_items(table)`."""

    ids: tuple[str, ...]
    vectors: Float[np.ndarray, "item dim"]


@dataclass(frozen=True, kw_only=True)
class LoadedRun:
    """A finished run. Every score is the dot product of a user's state with an item's vector:

        vectors @ run.user_state(history)        # of run.item_vectors, or of run.encode_items(table).vectors

    The model is built from the run's record and its checkpoint, whose tensors are read as plain data, when it is first
    needed; nothing is trained. Whoever loads a run from elsewhere runs none of its code (see `peftrec.load_run`).
    """

    directory: Path
    """The run's folder."""
    overrides: tuple[str, ...] = ()
    """Where its things lie now: `data.root=DIR`."""

    @cached_property
    def record(self) -> RunSummary:
        """What the run reached, what that cost, and its settings, as plain values. Raises RecordError where the run is
        not finished."""
        return RunSummary.of(read_finished(self.directory), self.directory)

    @cached_property
    def restored(self) -> RestoredRun:
        """Settings, data, split and module as this package has them inside, which may change between versions.

        Raises RecordError where the run is not finished, or its data is no longer what it was, CheckpointError where
        its parameters cannot be read, DataError where its data is not there.
        """
        quieten_libraries()
        return restore_run(self.directory, self.overrides)

    @cached_property
    def catalogue(self) -> ServedCatalogue:
        """The candidates and their vectors, as this package has them inside; each is encoded once."""
        return ServedCatalogue.of(self.restored)

    @cached_property
    def neighbours(self) -> NeighboursOfRun:
        """What content says of the candidates, as this package has it inside. Raises SettingsError where the run has no
        towers."""
        content = FrozenContent(run=self.restored)
        return NeighboursOfRun(content=content, embeddings=self.catalogue.embeddings)

    @cached_property
    def histories(self) -> UserHistories:
        """The histories of all users, as this package has them inside."""
        return UserHistories.of(self.restored, day_length=SECONDS_A_DAY)

    @property
    def users(self) -> tuple[str, ...]:
        """Ids of the users that the run's data holds."""
        return self.histories.interactions.users

    @property
    def items(self) -> pd.DataFrame:
        """The items that are recommended, row by row as in `item_vectors`: columns `item` and `title` (None where the
        data has no titles)."""
        return pd.DataFrame({"item": self.catalogue.ids, "title": self.catalogue.titles}, dtype="object")

    @property
    def item_vectors(self) -> Float[np.ndarray, "item dim"]:
        """Vectors of `items`, float32. All answers come from this array, so it is read-only: copy it to write to it."""
        vectors = self.catalogue.embeddings.view()
        vectors.flags.writeable = False
        return vectors

    def history(self, user: str) -> tuple[str, ...]:
        """Return the ids of a user's items, oldest first, what was held out for validation and test included.

        Raises DataError that names the nearest ids of a user who is not there.
        """
        user = given_id("user", user, USERS.strip("[]"))
        return tuple(self.catalogue.ids[row] for row in self.histories.of_user(user).items.tolist())

    def user_state(self, history: Iterable[str]) -> Float[np.ndarray, " dim"]:
        """Return the state of the run's user encoder after a history of item ids, oldest first; float32. It reads as
        many of the last items as it was trained on.

        Raises DataError for an unknown item, which names the nearest ids, and SettingsError where the run's user
        encoder reads times.
        """
        read = self._as_interactions([_history("history", history)])
        return user_states(self.restored, self.catalogue, read, np.arange(1))[0]

    def encode_items(self, table: ItemTable) -> EncodedItems:
        """Encode items by their titles and images, with the run's towers, as its own items were.

        Raises DataError that names the line (of a DataFrame, the row) of what is wrong, and SettingsError where the run
        knows items by their ids alone, or reads ready features.
        """
        items = read_cold_items(_place("table", table), self.restored.settings, known=())
        return EncodedItems(items.ids, encode_cold_items(self.restored, items))

    def recommend(
        self,
        users: Iterable[str],
        k: int = 10,
        *,
        seen: bool = False,
        candidates: ItemTable | None = None,
        content_neighbours: ContentWeight = "off",
    ) -> pd.DataFrame:
        """Return the best `k` items of each user, after everything that the data holds of them.

        Columns `user`, `rank` (from 1), `item`, `score` (float32) and `title`; users in the order given, best item
        first. Items of the history are left out unless `seen`; `candidates` are new items to rank as well.
        `content_neighbours` adds to a user's scores, at a weight, how like the last item each item is to frozen towers
        (see `peftrec.cold_start.content_neighbours`); "auto" takes the weight that validation chooses, which
        `evaluate_content_neighbours` tells. The answer to a user does not depend on who else is asked about.

        Raises DataError for unknown users (all in one message, with the nearest ids), for faulty candidates, and where
        fewer than `k` items are left to a user; SettingsError for what is no list of texts, whole number, switch or
        weight, and for content neighbours of a run without towers.
        """
        users, k, seen = given_ids("users", users, USERS), given_count("k", k), given_switch("seen", seen)
        weight = given_weight(KEY, content_neighbours)
        rows = self.histories.rows_of(users)
        new = self.read_candidates(candidates)
        return self._answer("user", self.histories.interactions, rows, k, seen=seen, new=new, weight=weight)

    def recommend_to_histories(
        self,
        histories: Iterable[Iterable[str]],
        k: int = 10,
        *,
        seen: bool = False,
        candidates: ItemTable | None = None,
        content_neighbours: ContentWeight = "off",
    ) -> pd.DataFrame:
        """Do the same for histories of item ids that are no user's: the first column is `history`, counted from 0.

        Raises DataError for an unknown item or an empty history, and SettingsError where the run's user encoder reads
        times.
        """
        k, seen = given_count("k", k), given_switch("seen", seen)
        weight = given_weight(KEY, content_neighbours)
        read = self._as_interactions(_histories(histories))
        new = self.read_candidates(candidates)
        answer = self._answer("history", read, np.arange(len(read)), k, seen=seen, new=new, weight=weight)
        return answer.astype({"history": np.int64})

    def evaluate_content_neighbours(self, weight: Asked = "auto") -> NeighboursOnTest:
        """Rank the run's test users again, without content neighbours and with them: what `recommend` would change.

            tried = run.evaluate_content_neighbours()
            print(tried.to_text())
            run.recommend(users, content_neighbours=tried.chosen.weight)

        Raises SettingsError where the run has no towers.
        """
        asked = given_weight("weight", weight)
        return self.neighbours.on_test(0.0 if asked == "off" else asked)

    def export(self, to: str | Path | None = None, *, merge: bool = False, overwrite: bool = False) -> Path:
        """Write the run for others to load, as `peftrec export` does, and return the folder: `to`, or `export` below
        the run's own. It appears when it is whole, and its towers were read back and compared.

        Raises UserError where something is at the place already, unless it may be overwritten, and CheckpointError
        where a tower cannot be written so.
        """
        from peftrec.serving.exporting import export_run

        target = None if to is None else given_path("to", to, 'to="exported"')
        merges, overwrites = given_switch("merge", merge), given_switch("overwrite", overwrite)
        return export_run(self.directory, to=target, merges=merges, overwrites=overwrites, places=self.overrides).folder

    def read_candidates(self, table: ItemTable | None) -> Items | None:
        """Read and check new items that are to be ranked beside the run's own; none of them may have a known id."""
        if table is None:
            return None
        return read_cold_items(_place("candidates", table), self.restored.settings, known=self.restored.split.items.ids)

    def chosen_weight(self, asked: ContentWeight) -> ChosenWeight | None:
        """Return at which weight content neighbours count; None where they are off."""
        return None if asked == "off" else self.neighbours.choose(asked)

    def with_candidates(self, new: Items | None, *, weight: float = 0.0) -> ServedCatalogue:
        """Return the run's catalogue, at a weight above 0 with content neighbours, and new items behind its own, as
        this package has it inside."""
        catalogue = self.catalogue.with_neighbours(self.neighbours.of_candidates, weight) if weight else self.catalogue
        if new is None:
            return catalogue
        content = self.neighbours.vectors_of(new) if weight else None
        return catalogue.with_items(new, encode_cold_items(self.restored, new), content)

    def _as_interactions(self, histories: Sequence[Sequence[str]]) -> Interactions:
        rows = [rows_of(history, self.catalogue.ids) for history in histories]
        return Interactions.from_lists([str(number) for number in range(len(rows))], rows)

    def _answer(
        self,
        kind: str,
        histories: Interactions,
        rows: Int[np.ndarray, " user"],
        k: int,
        *,
        seen: bool,
        new: Items | None,
        weight: ContentWeight,
    ) -> pd.DataFrame:
        chosen = self.chosen_weight(weight)
        catalogue = self.with_candidates(new, weight=0.0 if chosen is None else chosen.weight)
        blocks = recommend_in_blocks(self.restored, catalogue, histories, rows, k, keeps_seen=seen)
        frames = [
            pd.DataFrame(as_columns(kind, each, catalogue, histories.users)).assign(title=titles_of(each, catalogue))
            for each in blocks
        ]
        return pd.concat(frames, ignore_index=True) if frames else no_rows(kind)


def _place(name: str, table: ItemTable) -> Path | pd.DataFrame:
    if isinstance(table, pd.DataFrame):
        return table
    return given_path(name, table, f'{name}="items.csv", or give a DataFrame with the columns item, title and image')


def _histories(given: object) -> list[list[str]]:
    listed = given_list("histories", given, "a list of lists of texts", f"[{HISTORY}]")
    return [_history(f"history {number}", history) for number, history in enumerate(listed)]


def _history(name: str, given: object) -> list[str]:
    if history := given_ids(name, given, HISTORY, is_ordered=True):
        return history
    raise DataError(f"{name} is empty; give each at least one item")
