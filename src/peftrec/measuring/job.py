"""`python -m peftrec.measuring.job JOB_FILE`: one run that is measured beside others.

It records nothing, so an interruption ends it without a word.
"""

import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from peftrec.code.user_code import UserCode, take_over
from peftrec.errors import UserError
from peftrec.jobs.attaching import attach
from peftrec.measuring.channel import Channel


class MeasuringJob(BaseModel):
    """What a measured process is started with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_directory: str
    socket: str
    place: int
    """By which the other end knows it."""
    num_steps: int
    code: UserCode


def main(arguments: list[str]) -> int:
    """Train in turns; a mistake of the user is said to the other end."""
    job = MeasuringJob.model_validate_json(Path(arguments[0]).read_bytes())
    take_over(job.code)
    from peftrec.measuring.training import train_in_turns

    with Channel.to(Path(job.socket)) as channel:
        channel.say({"place": job.place})
        try:
            train_in_turns(Path(job.run_directory), channel, num_steps=job.num_steps)
        except UserError as error:
            channel.say({"error": str(error)})
            return 1
        except ConnectionError:  # the measurement ended early, and has said why
            return 1
    return 0


if __name__ == "__main__":
    attach()
    sys.exit(main(sys.argv[1:]))
