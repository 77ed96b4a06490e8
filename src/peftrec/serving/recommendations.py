"""The answer to `peftrec recommend`: a list, what speaks for each place, and what was queried with."""

from dataclasses import dataclass

from peftrec.cold_start.neighbours_of_run import ChosenWeight
from peftrec.errors import counted
from peftrec.outputs.safe_text import for_line
from peftrec.progress.terminal import aligned

_LONGEST_TITLE = 44


@dataclass(frozen=True, kw_only=True)
class Reason:
    """An item of the history that resembles a recommended one."""

    item: str
    title: str | None
    product: float
    """Dot product of the two embeddings: as trained, or a cosine where a profile recommends."""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """One place of the list."""

    item: str
    title: str | None
    score: float
    """Dot product with the user encoder's state, content neighbours added where they count; or cosine with the interest
    that brought the item."""
    is_new: bool
    """Whether the item came with the request and nobody has met it yet."""
    interest: int | None
    """Number of that interest, from 1; None where the user encoder recommends."""
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, kw_only=True)
class Interest:
    """What a profile queried with."""

    item: str | None
    """Its representative; None where it is an average."""
    title: str | None
    importance: float
    size: int
    """Steps of the history that it holds."""


@dataclass(frozen=True, kw_only=True)
class Recommendations:
    """The answer to a request."""

    run: str
    user: str | None
    group: int | None
    """Of a division of the run's users, from 1, whose weights answer; None where the run's own do."""
    num_steps: int
    """Steps of the history."""
    content_neighbours: ChosenWeight | None
    """How much they count beside the run's own scores; None where they are off."""
    interests: tuple[Interest, ...] | None
    recommendations: tuple[Recommendation, ...]

    def to_text(self) -> str:
        """Return aligned tables."""
        rows = [("#", "ITEM", "TITLE", "SCORE", *(("FROM",) if self.interests else ()), "BECAUSE OF")]
        for place, each in enumerate(self.recommendations, start=1):
            title = _short(each.title or "") + (" (new)" if each.is_new else "")
            origin = () if each.interest is None else (f"interest {each.interest}",)
            rows.append((str(place), each.item, title, f"{each.score:.4f}", *origin, _because(each.reasons)))
        heading = f"user {for_line(self.user)}" if self.user is not None else "the given items"
        own = "" if self.group is None else f", by group {self.group}"
        text = f"for {heading}, after {counted(self.num_steps, 'step')}, from {self.run}{own}\n"
        if self.content_neighbours is not None:
            text += f"{self.content_neighbours.to_text()}\n"
        text += f"{aligned(rows)}\n"
        return text + (self._interests_text() if self.interests else "")

    def _interests_text(self) -> str:
        rows = [("INTEREST", "IMPORTANCE", "STEPS", "REPRESENTED BY")]
        for number, each in enumerate(self.interests or (), start=1):
            shown = "their average" if each.item is None else f"{each.item} {_short(each.title or '')}".strip()
            rows.append((str(number), f"{each.importance:.3g}", str(each.size), shown))
        return f"\n{aligned(rows)}\n"


def _because(reasons: tuple[Reason, ...]) -> str:
    return "; ".join(f"{_short(each.title or each.item)} {each.product:.2f}" for each in reasons)


def _short(title: str) -> str:
    return title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 3] + "..."
