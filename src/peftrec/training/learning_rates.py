"""Learning rates over the steps of training: linear warm-up, then constant or falling."""

from peftrec.settings.run import Decay


def rate_factor(num_steps: int, *, warmup_steps: int, decay: Decay) -> float:
    """Return what the rates are multiplied by after `num_steps` steps; at most 1, which the last step of warm-up has.

    With both, rates are those of Nguyen & Salazar (arXiv:1910.05895) and Vaswani et al. (2017),
    lambda / sqrt(dim) min(1 / sqrt(n), n / warmup_steps^1.5) at the n-th step, divided by their largest value,
    lambda / sqrt(dim warmup_steps).
    """
    step, peak = num_steps + 1, max(1, warmup_steps)
    if step < peak:
        return step / peak
    return 1.0 if decay == "none" else (peak / step) ** 0.5
