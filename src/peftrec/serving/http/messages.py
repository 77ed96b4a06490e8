"""What is sent to a service and what it answers, as JSON; the OpenAPI schema is made from these."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)
RunName = Annotated[
    str | None, Field(description="Which run is asked, by its name in /health; may be left out where one is served.")
]


class RecommendBody(BaseModel):
    """Who is recommended what to."""

    model_config = _STRICT

    run: RunName = None
    user: str | None = Field(default=None, description="One of the run's users, after all that its data holds of them.")
    items: list[str] | None = Field(
        default=None, min_length=1, description="A history without a user: ids of items, oldest first."
    )
    k: int = Field(default=10, ge=1, description="How many.")
    seen: bool = Field(default=False, description="Whether items of the history are recommended as well.")

    @model_validator(mode="after")
    def _one_history(self) -> "RecommendBody":
        if (self.user is None) == (self.items is None):
            raise ValueError("give one of user and items")
        return self


class Recommendation(BaseModel):
    """One place of the list."""

    item: str
    title: str | None
    score: float = Field(description="Dot product of the user's state and the item's vector.")
    is_new: bool = Field(description="Whether the item was added to the service.")


class RecommendAnswer(BaseModel):
    """The best items, best first; the figures are those of `peftrec recommend`."""

    run: str
    user: str | None
    group: int | None = Field(
        description="The user's group, where groups are served; null for who is in none, and for a history."
    )
    num_steps: int = Field(description="Items of the history.")
    recommendations: list[Recommendation]


class NewItem(BaseModel):
    """An item that the run has not met, as far as the run has towers for it."""

    model_config = _STRICT

    id: str = Field(min_length=1)
    title: str | None = None
    texts: dict[str, str] = Field(default={}, description="Further texts that the run reads, by their names.")
    image: str | None = Field(default=None, description="The bytes of a JPEG, PNG, WebP, GIF, BMP or AVIF, in base64.")


class ItemsBody(BaseModel):
    """New items."""

    model_config = _STRICT

    run: RunName = None
    items: list[NewItem] = Field(min_length=1)


class EncodeBody(ItemsBody):
    """New items, and whose vectors of them are asked for."""

    group: int | None = Field(
        default=None, ge=1, description="By which group's part of the model; left out, by the run's own."
    )


class EncodedItem(BaseModel):
    """An item and its vector."""

    id: str
    vector: list[float]


class EncodeAnswer(BaseModel):
    """Vectors of new items, in the order in which they were sent; nothing is kept."""

    run: str
    group: int | None
    items: list[EncodedItem]


class AddAnswer(BaseModel):
    """What the service holds after items were added."""

    run: str
    added: int
    num_items: int = Field(description="Items that are recommended from now on.")


class RunDescription(BaseModel):
    """A run that is served."""

    run: str
    strategy: str
    num_users: int
    num_items: int
    num_added: int
    reads: list[str] = Field(
        description="What a new item must have: title, texts.NAME, image; empty where it can know none."
    )
    groups: int = Field(description="Groups of users, each with item vectors of its own; 0 where all have the run's.")
    item_vector_bytes: int = Field(description="Of the vectors of all items, the run's own and those of each group.")
    content_neighbours: float = Field(description="Weight of content neighbours of the last item in scores; 0 is none.")


class Health(BaseModel):
    """The service answers."""

    status: str
    runs: list[RunDescription]


class Problem(BaseModel):
    """Why a request was not answered."""

    error: str
