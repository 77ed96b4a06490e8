"""Stands in for `peftrec.jobs.job`: tells what a process finds when it starts."""

import atexit
import json
import os
import random
import signal
import sys
from pathlib import Path


def main() -> int:
    place = Path(sys.argv[1])
    if sys.argv[2:] == ["wait"]:
        place.write_text(str(os.getpid()))
        signal.pause()
    atexit.register(lambda: place.with_suffix(".atexit").touch())
    import torch

    found = {
        "folder": str(Path.cwd()),
        "path": sys.path,
        "name": sys.modules["__main__"].__name__,
        "arguments": sys.argv[1:],
        "group": os.getpgrp() == os.getpid(),
        "said": os.environ.get("SAID_TO_JOB"),
        "device": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "threads": torch.get_num_threads(),
        "lightning": sys.modules["lightning"].__file__ if "lightning" in sys.modules else None,
        "draw": random.random(),
        "interrupt": signal.getsignal(signal.SIGINT) == signal.SIG_DFL,
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "server": os.getppid(),
    }
    print("printed")
    print("complained", file=sys.stderr)
    place.write_text(json.dumps(found))
    return 7


if __name__ == "__main__":
    from peftrec.jobs.attaching import attach

    attach()
    sys.exit(main())
