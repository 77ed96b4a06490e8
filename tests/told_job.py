"""Stands in for `peftrec.jobs.job`: tells what a process finds when it starts."""

import atexit
import gzip
import io
import json
import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import TextIO

ENDS = {"text": "why it ended", "none": None, "beyond": 258, "true": True}
"""What `main` returns; else the status is 3."""


class Unflushable(io.RawIOBase):
    def flush(self) -> None:
        raise AttributeError("nothing to flush")


def write_late(place: Path) -> None:
    threading.main_thread().join()
    place.touch()


def main() -> object:
    place = Path(sys.argv[1])
    if sys.argv[2:] == ["wait"]:
        place.write_text(str(os.getpid()))
        signal.pause()
    if sys.argv[2:]:
        return end_by(place, sys.argv[2])
    atexit.register(lambda: place.with_suffix(".atexit").touch())
    import torch

    from peftrec.code.commit import package_state

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
        "knows_commit": package_state.cache_info().currsize == 1,
    }
    print("printed")
    print("complained", file=sys.stderr)
    place.write_text(json.dumps(found))
    return 7


def end_by(place: Path, how: str) -> object:
    """Leave a file open, and a thread at work, and end."""
    global left_open  # noqa: PLW0603 - it must live to the end
    detached = io.TextIOWrapper(io.BytesIO())
    detached.detach()
    packed = gzip.open(place.with_suffix(".gz"), "wt", encoding="utf-8")  # noqa: SIM115
    left_open = place.with_suffix(".open").open("w", encoding="utf-8"), packed, detached, Unflushable()
    for each in left_open[:2]:
        each.write("written out")
    threading.Thread(target=write_late, args=(place.with_suffix(".late"),)).start()
    if how == "raise":
        raise ValueError("an error of its own")
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "closed":
        sys.stdout.close()
    if how in ("unread", "full"):
        sys.stdout = unwritable(how)
        print("lost")
    return ENDS.get(how, 3)


def unwritable(how: str) -> TextIO:
    if how == "full":
        return Path("/dev/full").open("w", encoding="utf-8")
    read_end, write_end = os.pipe()
    os.close(read_end)
    return os.fdopen(write_end, "w", encoding="utf-8")


if __name__ == "__main__":
    from peftrec.jobs.attaching import attach

    attach()
    sys.exit(main())
