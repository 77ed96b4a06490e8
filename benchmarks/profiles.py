"""What PinnerSage costs a service: a daily batch, its file, an online update, and the graph against exact search.

    python benchmarks/profiles.py RUN_DIR [--alpha 3] [--neighbours 133]

RUN_DIR is a finished run whose data has timestamps. The batch looks at whole histories; the update takes the last 20
steps of each user as new. 133 neighbours are what each of three medoids brings to 400 candidates.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from peftrec.profiles.base import unit_rows
from peftrec.profiles.medoid_cache import MedoidCache
from peftrec.profiles.neighbours import HNSW, ComparedIndex, ExactIndex
from peftrec.profiles.pinnersage import PinnerSage
from peftrec.profiles.updating import RECENT_STEPS, current_interests, infer_batch
from peftrec.serving.catalogue import ServedCatalogue
from peftrec.serving.user_histories import SECONDS_A_DAY, UserHistories
from peftrec.training.run.restored_run import restore_run

MILLI = 1e3
NOTHING = np.zeros(0, dtype=np.int64)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--alpha", type=float, default=3.0)
    parser.add_argument("--neighbours", type=int, default=133)
    arguments = parser.parse_args()
    run = restore_run(arguments.run)
    served = ServedCatalogue.of(run)
    catalogue, rows = unit_rows(served.embeddings), {item: row for row, item in enumerate(served.ids)}
    histories = dict(UserHistories.of(run, day_length=SECONDS_A_DAY))
    profile = PinnerSage(alpha=arguments.alpha)

    started = time.perf_counter()
    last_day = np.floor(max(history.known_days()[-1] for history in histories.values())) + 1
    cache = infer_batch(histories.items(), profile, catalogue, served.ids, day=last_day, past_days=np.inf)
    seconds = time.perf_counter() - started
    steps = sum(map(len, histories.values()))
    print(f"batch: {len(cache.users):,} users, {steps:,} steps, {len(cache.items):,} interests in {seconds:.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        cache.write(Path(folder) / "medoids.parquet")
        size = (Path(folder) / "medoids.parquet").stat().st_size
        assert MedoidCache.read(Path(folder) / "medoids.parquet").items == cache.items
    print(f"file:  {size:,} bytes, {size / len(cache.users):.0f} a user")

    times = []
    for user, history in histories.items():
        new = type(history)(
            items=history.items[-RECENT_STEPS:], days=np.full(min(len(history), RECENT_STEPS), last_day)
        )
        started = time.perf_counter()
        current_interests(cache, user, new, profile, catalogue, rows, now=last_day + 1)
        times.append(time.perf_counter() - started)
    print(f"update: {MILLI * statistics.median(times):.2f} ms a user (median)")

    queries = catalogue[[rows[item] for item in dict.fromkeys(cache.items)]]
    exact, graph = ExactIndex(catalogue), HNSW().index(catalogue)
    for name, index in (("exact", exact), ("HNSW", graph)):
        started = time.perf_counter()
        for query in queries:
            index.search(query[None], arguments.neighbours, excluded=NOTHING)
        print(
            f"{name}: {MILLI * (time.perf_counter() - started) / len(queries):.3f} ms a query of {arguments.neighbours}"
        )
    compared = ComparedIndex(graph, exact)
    compared.search(queries, arguments.neighbours, excluded=NOTHING)
    print(f"HNSW found {compared.recall():.2%} of the exact neighbours of {len(queries):,} medoids")


if __name__ == "__main__":
    main()
