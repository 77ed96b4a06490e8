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
    from peftrec.jobs.isolation import FinishedJob, JobFile
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
            found = _find(job, runs)
        except UserError:
            continue
        if found is not None:
            answers[number] = found
    write_atomically(answers_file, FinishedJobs(jobs=answers).model_dump_json().encode())
    return 0


def _find(job: "JobFile", runs: "FinishedRuns") -> "FinishedJob | None":
    from peftrec.jobs.isolation import FinishedJob
    from peftrec.jobs.launching import processes_to_start
    from peftrec.processes import ProcessRank
    from peftrec.settings.run import settings_from_config

    settings = settings_from_config(job.config)
    run = runs.find(settings, ProcessRank(count=processes_to_start(settings.trainer)))
    if run is None or run.identity.code.digest != job.code_hash:  # whose process refuses code that changed
        return None
    return FinishedJob(run_directory=str(run.folder), status=run.record.status, said=run.describe())


if __name__ == "__main__":
    attach()
    with safe_streams():
        status = main(sys.argv[1:])
    sys.exit(status)
