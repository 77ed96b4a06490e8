"""A run as a service holds it: asked and changed by the one thread that computes."""

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from peftrec.data.choices import TITLE
from peftrec.data.interactions import Interactions
from peftrec.data.items import Items
from peftrec.errors import SettingsError, UserError
from peftrec.evaluation.ranking import users_per_block
from peftrec.models.towers.towers import Towers
from peftrec.serving.best_for_users import best_for_users
from peftrec.serving.catalogue import ServedCatalogue
from peftrec.serving.cold_items import as_it_is, check_can_know_items, encode_cold_items, towers_for_new_items
from peftrec.serving.http.added_items import AddedItems
from peftrec.serving.http.asking import Asked, Asking
from peftrec.serving.http.limits import Limits
from peftrec.serving.http.messages import (
    AddAnswer,
    EncodeAnswer,
    EncodeBody,
    EncodedItem,
    ItemsBody,
    RecommendAnswer,
    Recommendation,
    RecommendBody,
    RunDescription,
)
from peftrec.serving.loaded_run import LoadedRun
from peftrec.serving.many_users import SCORE_BYTES
from peftrec.serving.sent_items import sent_items
from peftrec.serving.served_catalogues import ServedCatalogues
from peftrec.user_groups.held_groups import HeldGroups

ENCODED_AT_ONCE = 4
"""New items between which recommendations are answered."""


class NotKeptError(UserError):
    """Items were not added, because the file that keeps them cannot be written."""


class ServedRun:
    """Answers requests about one run. What takes several requests returns an outcome each: an answer, or the error that
    refuses the request."""

    def __init__(
        self,
        name: str,
        loaded: LoadedRun,
        limits: Limits,
        added: AddedItems,
        *,
        weight: float = 0.0,
        groups: HeldGroups | None = None,
    ) -> None:
        """Encode the catalogue, and read what was added before; `weight` is that of content neighbours, and `groups`
        those whose users their parts answer. Raises what loading a run and its added items does."""
        self.name = name
        self.limits = limits
        self.added = added
        self.run = loaded.restored
        self.users = loaded.histories
        self.catalogues = ServedCatalogues(
            own=loaded.with_candidates(None, weight=weight),
            of_groups=() if groups is None else groups.catalogues(),
        )
        self.neighbours = loaded.neighbours if weight else None
        self.towers: Towers | None = None
        self.refusal: str | None = None
        """Why it can know no new items; None where it can."""
        try:
            check_can_know_items(self.run.settings)
        except SettingsError as error:
            self.refusal = str(error)
        else:
            self.towers = towers_for_new_items(self.run)
        self.rows = {item: row for row, item in enumerate(self.catalogue.ids)}
        self.asking = Asking(
            name=name,
            limits=limits,
            users=self.users,
            rows=self.rows,
            groups=groups,
            reads_times=self.run.settings.user_encoder.reads_times,
        )
        ids, titles, keys = added.read(dim=self.catalogues.dim, known=self.rows)
        if ids:
            limits.check_added(0, len(ids))
            self._extend(self.catalogues.with_items(Items(ids=ids, titles=titles, images=None), keys))

    @property
    def groups(self) -> HeldGroups | None:
        """Of its users; None where it is served without."""
        return self.asking.groups

    @property
    def catalogue(self) -> ServedCatalogue:
        """By the run's own part."""
        return self.catalogues.own

    def towers_for_new_items(self) -> list[Towers]:
        """Return the towers that it holds for new items alone: in place of a store, and of content neighbours."""
        found = [] if self.towers is None else [self.towers]
        return found if self.neighbours is None or self.refusal else [*found, self.neighbours.content.pretrained]

    def describe(self) -> RunDescription:
        """Say what the run is, and how much it holds."""
        return RunDescription(
            run=self.name,
            strategy=self.run.record.strategy,
            num_users=len(self.users),
            num_items=len(self.catalogue.ids),
            num_added=self.num_added,
            reads=self.reads,
            groups=len(self.groups or ()),
            item_vector_bytes=self.catalogues.vector_bytes,
            content_neighbours=self.catalogue.weight,
        )

    @property
    def reads(self) -> list[str]:
        """What a new item must have."""
        towers = self.run.settings.towers
        texts = [name if name == TITLE else f"texts.{name}" for name in towers.text_readers]
        return [] if self.refusal else [*texts, *(["image"] if towers.image_encoders else [])]

    @property
    def num_added(self) -> int:
        return len(self.catalogue.ids) - self.catalogue.num_candidates

    def recommend(self, bodies: Sequence[RecommendBody]) -> list[RecommendAnswer | UserError]:
        """Recommend to each; users' states and scores are computed together, and who else asks changes no figure."""
        found = [self.asking.asked_or_refused(body) for body in bodies]
        asked = {place: each for place, each in enumerate(found) if isinstance(each, Asked)}
        size = users_per_block(len(self.catalogue.ids), SCORE_BYTES)
        answers: dict[int, RecommendAnswer] = {}
        for group in sorted({each.group for each in asked.values()}):
            places = [place for place, each in asked.items() if each.group == group]
            for block in (places[start : start + size] for start in range(0, len(places), size)):
                answers |= zip(block, self._answers([asked[place] for place in block], group), strict=True)
        return [answers[place] if isinstance(each, Asked) else each for place, each in enumerate(found)]

    def encode(self, body: EncodeBody) -> Generator[None, None, EncodeAnswer]:
        """Return, in parts, the vectors of new items by one part of the model; nothing is kept."""
        models = [self._models[self.asking.checked_group(body.group)]]
        items, vectors = yield from self._encoded(body, models, known=())
        pairs = zip(items.ids, vectors.tolist(), strict=True)
        encoded = [EncodedItem(id=item, vector=vector) for item, vector in pairs]
        return EncodeAnswer(run=self.name, group=body.group, items=encoded)

    def add(self, body: ItemsBody) -> Generator[None, None, AddAnswer]:
        """Encode new items, in parts, and recommend them from the last one on. Requests of this kind are computed one
        after the other, so that what is added meanwhile is nothing."""
        self.limits.check_added(self.num_added, len(body.items))
        items, keys = yield from self._encoded(body, self._models, known=self.rows)
        if self.neighbours is not None:
            yield
            content = yield from _in_parts(items, self.neighbours.vectors_of)
            keys = np.concatenate([keys, content], axis=1)
        first = self.catalogue.num_candidates
        whole = self.catalogues.with_items(items, keys)
        titles = tuple(whole.own.title(row) or "" for row in range(first, len(whole.own.ids)))
        try:
            self.added.write(whole.own.ids[first:], titles, whole.added_keys)
        except OSError as error:
            raise NotKeptError(f"nothing was added: {self.added.file} cannot be written ({error.strerror})") from error
        self._extend(whole)
        return AddAnswer(run=self.name, added=len(items), num_items=len(self.catalogue.ids))

    @property
    def _models(self) -> Sequence[Callable[[], None]]:
        return [as_it_is] if self.groups is None else self.groups.models

    def _answers(self, asked: Sequence[Asked], group: int) -> list[RecommendAnswer]:
        rows = np.arange(len(asked))
        histories = Interactions.from_lists([""] * len(asked), [each.items.astype(np.int32) for each in asked])
        if self.run.settings.user_encoder.reads_times:
            histories = replace(
                histories, times=np.concatenate([each.times for each in asked if each.times is not None])
            )
        excluded = [each.excluded for each in asked]
        best = best_for_users(
            self.run,
            self.catalogues[group],
            histories,
            rows,
            max(each.body.k for each in asked),
            excluded=(np.repeat(rows, [len(items) for items in excluded]), np.concatenate(excluded)),
        )
        pairs = zip(asked, best.items.tolist(), best.scores.tolist(), strict=True)
        return [self._answer(each, items, scores) for each, items, scores in pairs]

    def _answer(self, asked: Asked, items: Sequence[int], scores: Sequence[float]) -> RecommendAnswer:
        catalogue, k = self.catalogue, asked.body.k
        return RecommendAnswer(
            run=self.name,
            user=asked.body.user,
            group=asked.group or None,
            num_steps=len(asked.items),
            recommendations=[
                Recommendation(
                    item=catalogue.ids[row],
                    title=catalogue.title(row),
                    score=score,
                    is_new=row >= catalogue.num_candidates,
                )
                for row, score in zip(items[:k], scores[:k], strict=True)
            ],
        )

    def _encoded(
        self, body: ItemsBody, models: Sequence[Callable[[], None]], *, known: Collection[str]
    ) -> Generator[None, None, tuple[Items, Float[np.ndarray, "item dim"]]]:
        if self.refusal is not None:
            raise SettingsError(self.refusal)
        self.limits.check_items(body.items)
        items = sent_items(body.items, self.run.settings, known=known, max_image_pixels=self.limits.max_image_pixels)
        vectors = yield from _in_parts(items, lambda part: encode_cold_items(self.run, part, self.towers, models))
        return items, vectors

    def _extend(self, whole: ServedCatalogues) -> None:
        known = len(self.rows)
        self.rows |= {item: known + place for place, item in enumerate(whole.own.ids[known:])}
        self.catalogues = whole


def _in_parts(
    items: Items, encode: Callable[[Items], Float[np.ndarray, "item key"]]
) -> Generator[None, None, Float[np.ndarray, "item key"]]:
    parts: list[Float[np.ndarray, "item key"]] = []
    for first in range(0, len(items), ENCODED_AT_ONCE):
        if parts:
            yield
        parts.append(encode(items.select(np.arange(first, min(first + ENCODED_AT_ONCE, len(items))))))
    return np.concatenate(parts)
