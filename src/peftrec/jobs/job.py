"""`python -m peftrec.jobs.job JOB_FILE OUTCOME_FILE`: one job of a sweep, or one of the processes of a run.

Its standard input is a pipe that the process which started it holds open: when that one dies, however it dies, so
does the job. What the run had recorded by then is kept, and the same command resumes there.

Only the standard library is imported up here: until the run's own modules are there, which takes seconds, Ctrl-C ends
the process without a word, because there is nothing to record yet.
"""

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peftrec.jobs.isolation import JobReport


def main(arguments: list[str]) -> int:
    """Train the job's configuration and write how it ended."""
    job_file, outcome_file = map(Path, arguments)
    from peftrec.files import write_atomically
    from peftrec.jobs.isolation import JobReport
    from peftrec.training.run import pipeline  # noqa: F401  # what takes longest

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        report = train(json.loads(job_file.read_bytes()))
    except SystemExit as error:
        report = JobReport(status="interrupted", error=f"{type(error).__name__}: {error}")
    write_atomically(outcome_file, report.model_dump_json().encode())
    return 0 if report.status == "success" else 1


def train(config: dict[str, object]) -> "JobReport":
    """Run to the end, or skip a finished run, or resume an unfinished one.

    SystemExit passes: under submitit a job that ran out of time submits itself again and leaves so, and an outcome
    would tell whoever waits for it that it has ended.
    """
    from peftrec.errors import UserError
    from peftrec.jobs.isolation import JobReport
    from peftrec.jobs.launching import ProcessesFailedError, launch
    from peftrec.settings.run import settings_from_config
    from peftrec.training.run.exit_status import status_of

    try:
        outcome = launch(settings_from_config(config))
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
    return JobReport(status=outcome.status, run_directory=str(outcome.run_directory))


def die_with_parent() -> None:
    """Kill this process as soon as whoever holds the other end of standard input is gone."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True, name="die-with-parent").start()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    die_with_parent()
    sys.exit(main(sys.argv[1:]))
