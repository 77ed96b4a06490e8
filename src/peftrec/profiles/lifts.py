"""The table of an evaluation: each profile's lift over the last item, beside the published one."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict

from peftrec.profiles.evaluation import Outcome

METRICS = ("relevance", "recall")
_RESAMPLES, _INTERVAL = 2000, (0.025, 0.975)


class Published(BaseModel):
    """What the paper reports, in percent over the last item."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    setting: str
    lifts: dict[str, dict[str, float]]
    """By the name of the profile's yaml, then by metric."""


@dataclass(frozen=True, kw_only=True)
class Lift:
    """A metric's mean over users, relative to the baseline's, in percent."""

    percent: float
    """Mean over draws."""
    deviation: float | None
    """Between draws; None where nothing is drawn."""
    interval: tuple[float, float]
    """95 % of bootstrap samples of users lie within; users are the same for both, so they are drawn in pairs."""


def read_published() -> Published:
    """Return the figures of the paper."""
    text = files("peftrec.profiles").joinpath("published.yaml").read_text(encoding="utf-8")
    return Published.model_validate(yaml.safe_load(text))


def lift_of(
    values: Float[np.ndarray, "user draw"], baseline: Float[np.ndarray, "user other_draw"], *, seed: int
) -> Lift | None:
    """Compare one metric of a profile with the baseline's; None where the baseline reached nothing."""
    ours, theirs = values.mean(axis=1), baseline.mean(axis=1)
    if not theirs.any():
        return None
    by_draw = 100 * (values.mean(axis=0) / theirs.mean() - 1)
    users = np.random.default_rng(seed).integers(0, len(ours), size=(_RESAMPLES, len(ours)))
    with np.errstate(divide="ignore", invalid="ignore"):  # a sample in which the baseline reached nothing
        sampled = 100 * (ours[users].mean(axis=1) / theirs[users].mean(axis=1) - 1)
    low, high = np.quantile(sampled[np.isfinite(sampled)], _INTERVAL)
    return Lift(
        percent=float(by_draw.mean()),
        deviation=float(by_draw.std(ddof=1)) if len(by_draw) > 1 else None,
        interval=(float(low), float(high)),
    )


def lift_rows(outcomes: Mapping[str, Outcome], baseline: str, *, seed: int) -> list[dict[str, Any]]:
    """Return one plain row a profile: means, lifts over the profile `baseline`, published lifts."""
    published = read_published().lifts
    rows = []
    for name, outcome in outcomes.items():
        row: dict[str, Any] = {
            "profile": name,
            "interests": outcome.mean_interests,
            "queries": outcome.mean_queries,
            "candidates": outcome.mean_candidates,
        }
        for metric in METRICS:
            values, others = getattr(outcome, metric), getattr(outcomes[baseline], metric)
            row[metric] = float(values.mean())
            row[f"{metric}_lift"] = None if name == baseline else lift_of(values, others, seed=seed)
            row[f"{metric}_lift_published"] = published.get(name, {}).get(metric)
        rows.append(row)
    return rows


def lift_cells(row: Mapping[str, Any]) -> dict[str, str]:
    """Return a row as text, by heading."""
    cells = {"profile": str(row["profile"])}
    cells |= {name: f"{row[name]:.1f}" for name in ("interests", "queries", "candidates")}
    for metric in METRICS:
        published = row[f"{metric}_lift_published"]
        cells[metric] = f"{row[metric]:.4f}"
        cells[f"{metric} lift %"] = _lift_text(row[f"{metric}_lift"])
        cells[f"{metric} lift % published"] = "" if published is None else f"{published:g}"
    return cells


def _lift_text(lift: Lift | None) -> str:
    if lift is None:
        return ""
    deviation = "" if lift.deviation is None else f" ± {lift.deviation:.1f}"
    return f"{lift.percent:.1f}{deviation} [{lift.interval[0]:.1f}, {lift.interval[1]:.1f}]"
