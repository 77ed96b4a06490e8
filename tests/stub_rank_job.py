"""Stands in for `peftrec.jobs.job`: processes that end well, or of which one ends as the job's name says."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def written(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def main() -> int:
    job_file, outcome_file = map(Path, sys.argv[1:])
    config = json.loads(job_file.read_text())["config"]
    place: dict[str, Any] = {
        name: os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT", "OMP_NUM_THREADS")
    }
    # Only a forked process has torch already; a fresh one would read the variable when it imports it.
    place["threads"] = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else place["OMP_NUM_THREADS"]
    Path(config["runs_dir"], f"rank-{place['RANK']}").write_text(json.dumps(place))
    report = {"status": "success", "run_directory": f"of {place['RANK']}", "error": None}
    is_second = place["RANK"] == "1"
    match config["name"]:
        case "killed" if is_second:
            os.kill(os.getpid(), signal.SIGKILL)
        case "fails":
            while not is_second and not written(outcome_file.with_name("outcome-1.json")):
                time.sleep(0.01)
            report |= {"status": "failed", "error": "the cause" if is_second else "lost the other one"}
        case "waits" | "killed":
            time.sleep(60)
    outcome_file.write_text(json.dumps(report))
    return 0 if report["status"] == "success" else 1


if __name__ == "__main__":
    from peftrec.jobs.attaching import attach

    attach()
    sys.exit(main())
