"""`python -m peftrec.jobs.job JOB_FILE OUTCOME_FILE`: one job of a sweep, or one of the processes of a run.

What the run had recorded when the process that started it dies is kept, and the same command resumes there.

Only what is quick to import is imported up here: until the run's own modules are there, which takes seconds in a fresh
process, Ctrl-C ends it without a word, because there is nothing to record yet.
"""

import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftrec.jobs.attaching import attach
from peftrec.outputs.streams import safe_streams
from peftrec.processes import end_on_sigterm

if TYPE_CHECKING:
    from peftrec.jobs.isolation import JobReport
    from peftrec.training.run.trial_watch import TrialOrder


def main(arguments: list[str]) -> int:
    """Train the job's configuration and write how it ended."""
    job_file, outcome_file = map(Path, arguments)
    from peftrec.code.user_code import take_over
    from peftrec.files import write_atomically
    from peftrec.jobs.isolation import JobFile, JobReport
    from peftrec.results.record import OVER
    from peftrec.training.run import pipeline  # noqa: F401  # what takes longest

    signal.signal(signal.SIGINT, signal.default_int_handler)
    end_on_sigterm()
    job = JobFile.model_validate_json(job_file.read_bytes())
    take_over(job.code)
    try:
        report = train(job.config, code_hash=job.code_hash, trial=job.trial)
    except SystemExit as error:
        report = JobReport(status="interrupted", error=f"{type(error).__name__}: {error}")
    write_atomically(outcome_file, report.model_dump_json().encode())
    return 0 if report.status in OVER else 1


def train(config: dict[str, Any], *, code_hash: str | None = None, trial: "TrialOrder | None" = None) -> "JobReport":
    """Run to the end, or skip a finished run, or resume an unfinished one; with `code_hash`, only by that code.

    SystemExit passes: under submitit a job that ran out of time submits itself again and leaves so, and an outcome
    would tell whoever waits for it that it has ended.
    """
    from peftrec.errors import UserError
    from peftrec.jobs.isolation import JobReport
    from peftrec.jobs.launching import ProcessesFailedError, launch
    from peftrec.settings.run import settings_from_config
    from peftrec.settings.run_identity import run_code
    from peftrec.training.run.exit_status import status_of

    try:
        settings = settings_from_config(config)
        if code_hash is not None and run_code(settings).digest != code_hash:
            raise UserError("the code is not what the sweep started with any more; give the command of the sweep again")
        outcome = launch(settings, trial)
    except ProcessesFailedError as error:
        return JobReport(status=error.status, error=str(error))
    except UserError as error:
        return JobReport(status="failed", error=str(error))
    except SystemExit:
        raise
    except BaseException as error:  # whatever it was becomes a result, and the sweep goes on
        if status_of(error) != "interrupted":
            traceback.print_exc()
        return JobReport(status=status_of(error), error=f"{type(error).__name__}: {error}")
    return JobReport(status=outcome.status, run_directory=str(outcome.run_directory), was_finished=outcome.was_finished)


if __name__ == "__main__":
    attach()
    with safe_streams():
        status = main(sys.argv[1:])
    sys.exit(status)
