"""The contract of a data source: the base class that every reader and the synthetic catalogue extend."""

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.choices import LEAST_MINIMUM

if TYPE_CHECKING:
    from peftrec.data.catalogue import Catalogue


def _refuse_date(moment: Any) -> Any:
    """Refuse a date with the number that it may stand for: which unit the timestamps have, no date says."""
    if not isinstance(moment, str):
        return moment
    try:
        date = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    seconds = int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    raise ValueError(
        f"give a number in the unit of the timestamps, not the date {moment}: in seconds since 1970-01-01 UTC, "
        f"which is how columns of dates count, it is {seconds}"
    )


NO_TEXTS: Mapping[str, Sequence[str]] = MappingProxyType({})
Moment = int | float
_ConfiguredMoment = Annotated[Moment | None, BeforeValidator(_refuse_date)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataSource(ABC):
    """Where data comes from and how it is cut; the defaults are the paper's (IISAN, section 4.1)."""

    sequence_length: int = Field(default=10, ge=1)
    """Items that the user encoder sees at most; a training window holds one more, the last target."""

    minimum_history: int = Field(default=5, ge=LEAST_MINIMUM)
    """Shortest history kept: a training transition takes two items, the validation and test targets one each."""

    short_histories: Literal["error", "drop"] = "error"
    """What happens to users with fewer than `minimum_history` items: an error that names the line, or dropped."""

    windows: Literal["last", "all"] = "last"
    """`last` trains on one window a user, the end of the training part, and forgets what is older (the paper, which
    so keeps each user's last `sequence_length + 3` items); `all` keeps whole histories and cuts them into training
    windows that overlap by one item, so that every transition is a target once."""

    split: Literal["leave_one_out", "global_time"] = "leave_one_out"
    """`leave_one_out` tests each user's last item and validates on the one before (the paper); `global_time` trains
    on what happened before one moment, the same for all users (see peftrec.data.global_time); needs timestamps."""

    validation_share: float = Field(default=0.1, gt=0, lt=1)
    """Under `global_time`: part of the interactions between the start of validation and that of test."""

    test_share: float = Field(default=0.1, gt=0, lt=1)
    """Under `global_time`: part of the interactions, the latest ones, from the start of test on."""

    validation_from: _ConfiguredMoment = None
    """Under `global_time`: when validation starts, in the unit of the timestamps (dates count as seconds since
    1970-01-01 UTC), instead of the shares; give `test_from` too."""

    test_from: _ConfiguredMoment = None
    """Under `global_time`: when test starts, instead of the shares; give `validation_from` too."""

    def __post_init__(self) -> None:
        starts = (self.validation_from, self.test_from)
        if self.split != "global_time" and starts != (None, None):
            raise ValueError("validation_from and test_from need split=global_time")
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to train on; lower them")
        if self.validation_from is None or self.test_from is None:
            if starts != (None, None):
                raise ValueError("give both validation_from and test_from, or neither for the shares")
        elif self.validation_from >= self.test_from:
            raise ValueError("validation_from must be before test_from")

    @property
    def further_texts(self) -> tuple[str, ...]:
        """Names of the texts that items have beside their titles; a tower reads one by `towers.NAME.text`."""
        return ()

    def unread_texts(self, read: Container[str]) -> list[str]:
        """Return those of them that the configuration names and that are not among `read`."""
        return []

    def instead_of_text(self, name: str) -> str:
        """Say what to do about a tower that reads a text of this name, which the items do not have."""
        return "choose one of them"

    @property
    def keeps_empty_texts(self) -> bool:
        """Say whether an item without a further text is kept, with an empty one."""
        return False

    @abstractmethod
    def read(
        self, *, titles: Sequence[str], images: Sequence[str], texts: Mapping[str, Sequence[str]] = NO_TEXTS
    ) -> "Catalogue":
        """Read and check the files. `titles` and `images` are the names of the towers that read them, none where no
        tower does; `texts` holds the further texts that towers read, each with the names of those towers.

        Raises DataError that names the file, the line and the remedy.
        """
