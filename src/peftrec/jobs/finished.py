"""`python -m peftrec.jobs.finished JOBS_FILE ANSWERS_FILE`: which jobs of a sweep are finished already, told by one
process for all of them.

To know it takes the hashes of data and towers. Jobs of a sweep share these, and what starts the jobs reads neither.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from peftrec.jobs.attaching import attach
from peftrec.outputs.streams import safe_streams

if TYPE_CHECKING:
    import torch

    from peftrec.jobs.isolation import ClusterNode, FinishedJob, JobFile
    from peftrec.settings.run import TrainerSettings
    from peftrec.training.run.finished_runs import FinishedRuns


def main(arguments: list[str]) -> int:
    """Answer for the jobs that are finished, by their numbers; what is wrong with another, its own process says."""
    asked_file, answers_file = map(Path, arguments)
    from peftrec.code.user_code import take_over
    from peftrec.errors import UserError
    from peftrec.files import write_atomically
    from peftrec.jobs.isolation import AskedJobs, FinishedJobs
    from peftrec.training.run.finished_runs import FinishedRuns

    asked = AskedJobs.model_validate_json(asked_file.read_bytes())
    take_over(asked.code)
    runs, answers = FinishedRuns(), {}
    for number, job in asked.jobs.items():
        try:
            found = _find(job, runs, asked.node)
        except UserError:
            continue
        if found is not None:
            answers[number] = found
    write_atomically(answers_file, FinishedJobs(jobs=answers).model_dump_json().encode())
    return 0


def _find(job: "JobFile", runs: "FinishedRuns", node: "ClusterNode | None") -> "FinishedJob | None":
    from dataclasses import replace

    from peftrec.jobs.isolation import FinishedJob
    from peftrec.jobs.launching import processes_to_start
    from peftrec.processes import ProcessRank
    from peftrec.settings.run import settings_from_config

    settings = settings_from_config(job.config)
    if node is None:
        run = runs.find(settings, ProcessRank(count=processes_to_start(settings.trainer)))
    elif (there := on_node(settings.trainer, node)) is not None:
        trainer, device, num_processes = there
        run = runs.find(replace(settings, trainer=trainer), ProcessRank(count=num_processes), device)
    else:
        return None
    if run is None or run.identity.code.digest != job.code_hash:  # whose process refuses code that changed
        return None
    return FinishedJob(run_directory=str(run.folder), status=run.record.status, said=run.describe())


def on_node(trainer: "TrainerSettings", node: "ClusterNode") -> "tuple[TrainerSettings, torch.device, int] | None":
    """Return what a job will train with on its node, on which device, and in how many processes; None where the node
    alone knows.

    `precision: auto` is taken to be bfloat16 on CUDA, as a plan takes it. On an older device a finished run is then not
    found here, but by its own job.
    """
    from dataclasses import replace

    import torch

    uses_cuda = trainer.accelerator == "gpu" or (trainer.accelerator == "auto" and bool(node.gpus))
    is_known = trainer.accelerator != "auto" or node.gpus is not None
    devices = (node.gpus if uses_cuda else 1) if trainer.devices == "auto" else trainer.devices
    if not is_known or devices is None:
        return None
    if uses_cuda and trainer.precision == "auto":
        trainer = replace(trainer, precision="bf16-mixed")
    return trainer, torch.device("cuda" if uses_cuda else "cpu"), devices * trainer.num_nodes


if __name__ == "__main__":
    attach()
    with safe_streams():
        status = main(sys.argv[1:])
    sys.exit(status)
