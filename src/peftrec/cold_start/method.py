"""The contract of a method that ranks for cold items or users."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import Field
from pydantic.dataclasses import dataclass as part

from peftrec.cold_start.evaluation import Scorer
from peftrec.cold_start.factors import Factors
from peftrec.cold_start.pairs import ColdStartData
from peftrec.config.strict import STRICT, FolderName


@part(frozen=True, kw_only=True, config=STRICT)
class Training:
    """How what has an epoch is trained: the same for all methods of a comparison."""

    epochs: int = Field(default=100, ge=1)
    """Passes over the training pairs; validation chooses one."""
    learning_rate: float = Field(default=0.005, gt=0)
    """Of stochastic gradient descent with momentum."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Share of the last step that the next one keeps."""
    decay: float = Field(default=0.8, gt=0, le=1)
    """What the learning rate is multiplied by every `decay_epochs`."""
    decay_epochs: int = Field(default=10, ge=1)
    """Epochs between two such multiplications."""
    batch_size: int = Field(default=1024, ge=2)
    """Pairs a step, negatives included."""
    negatives: int = Field(default=5, ge=1)
    """Pairs with a uniformly drawn item that trains, for each pair of the training set."""
    regularisation: float = Field(default=1e-4, ge=0)
    """Factor of the sum of squares of weights and biases."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method is given."""

    data: ColdStartData
    training: Training
    factors: Callable[[], Factors]
    """Learns or loads the pretrained factors, standardised, when a method asks."""
    seed: int
    accelerator: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """An epoch's outcome."""

    loss: float
    validation: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A method after training."""

    scorer: Scorer
    num_parameters: int = 0
    """Trained ones, the pretrained factors not among them."""
    epochs: list[Epoch] = field(default_factory=list)
    chosen: dict[str, int] = field(default_factory=dict)
    """What validation chose, by name."""


@part(frozen=True, kw_only=True, config=STRICT)
class Method(ABC):
    """One way to rank where there is no history; its fields are its hyper-parameters."""

    name: FolderName
    """For tables and files."""

    @abstractmethod
    def fit(self, task: Task) -> Fitted:
        """Train on the training pairs, and choose on the validation pairs."""
