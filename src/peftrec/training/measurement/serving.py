"""What using a trained model costs: keeping it, encoding items, answering users. Measured, in bounded time.

Medians of repeated measurements in this process and under the run's own conditions: they rank strategies on one
machine, and promise nothing about a service.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from peftrec.data.loading import padded_sequences
from peftrec.data.split import RankingCases
from peftrec.results.costs import Serving
from peftrec.training.measurement.item_costs import ItemCosts
from peftrec.training.measurement.repeated import timed
from peftrec.training.module import RecommenderModule
from peftrec.training.parameter_groups import tensor_bytes

_ANSWER = 10


@torch.inference_mode()
def measure_serving(
    costs: ItemCosts,
    catalogue: Float[Tensor, "candidate dim"],
    cases: RankingCases,
    *,
    sequence_length: int,
    reads_times: bool,
) -> Serving:
    """Measure a module that is ready to score, on its own device. Nothing of the module is changed."""
    module = costs.module
    with module.as_for_scoring():
        answers = timed(
            lambda call: _answer(
                module, catalogue, cases, call, sequence_length=sequence_length, reads_times=reads_times
            ),
            module.device,
        )
        return Serving(
            kept_bytes=tensor_bytes(parameter for parameter in module.parameters() if parameter.requires_grad),
            num_items=len(catalogue),
            as_trained=costs.as_trained(),
            merged=costs.merged(),
            answer_seconds_p50=float(np.percentile(answers, 50)),
            answer_seconds_p99=float(np.percentile(answers, 99)),
            num_answers=len(answers),
        )


def _answer(
    module: RecommenderModule,
    catalogue: Float[Tensor, "candidate dim"],
    cases: RankingCases,
    call: int,
    *,
    sequence_length: int,
    reads_times: bool,
) -> Tensor:
    """Answer one user as a service does: the history's state, all scores, what was taken already out, the best."""
    user = np.array([call % len(cases)])
    history = padded_sequences(cases.histories, user, sequence_length, reads_times=reads_times).to(module.device)
    states = module.recommender.last_states(catalogue, history.items, history.mask, history.times)
    scores = (states @ catalogue.T)[0]
    scores[history.items[history.mask]] = -torch.inf
    return torch.topk(scores, min(_ANSWER, len(catalogue))).indices.cpu()
