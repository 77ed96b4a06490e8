"""Parts of a configuration that are no part of the package."""

from abc import ABC, abstractmethod
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Shape(ABC):
    @abstractmethod
    def area(self) -> float: ...


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Rectangle(Shape):
    sides: tuple[int, ...] = Field(default=(1, 2), min_length=2)
    name: str | None = None

    def __post_init__(self) -> None:
        if len(set(self.sides)) == 1:
            raise ValueError("sides are equal; name it a square")

    def area(self) -> float:
        return float(self.sides[0] * self.sides[1])


class Undecorated(Rectangle):
    pass


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Frame:
    width: float = Field(gt=0)
    style: Literal["plain", "carved"] = "plain"
    inner: Shape | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Picture:
    shape: Shape
    frame: Frame
    path: str
    count: int = 3
    has_glass: bool = False
    tags: dict[str, int] = Field(default_factory=dict)
