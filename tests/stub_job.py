"""Stands in for `peftrec.jobs.job`: ends in the way that the job's seed names, in milliseconds."""

import json
import os
import signal
import sys
import time
from pathlib import Path

SUCCESS, FAILURE, OUT_OF_MEMORY, KILLED, SILENT, SLEEPING = 1, 2, 3, 4, 5, 6


def main() -> int:
    job_file, outcome_file = map(Path, sys.argv[1:])
    config = json.loads(job_file.read_text())["config"]
    print(f"seed {config['seed']} on {os.environ.get('CUDA_VISIBLE_DEVICES', 'no device')}", flush=True)
    Path(config["runs_dir"], f"pid-{config['seed']}").write_text(str(os.getpid()))
    report = {"status": "success", "run_directory": "somewhere", "error": None}
    match config["seed"]:
        case 2:
            report |= {"status": "failed", "error": "the loss is not finite"}
        case 3:
            report |= {"status": "out_of_memory", "error": "no memory left"}
        case 4:
            os.kill(os.getpid(), signal.SIGKILL)
        case 5:
            return 3
        case 6:
            time.sleep(60)
    outcome_file.write_text(json.dumps(report))
    return 0


if __name__ == "__main__":
    from peftrec.jobs.attaching import attach

    attach()
    sys.exit(main())
