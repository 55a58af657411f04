"""Time and memory of `annotator eval` against an annotation file of any size, written here first."""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

from big_truth import write_big_truth

from annotator.evaluate.truth import read_truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the file is written, and removed again")
    parser.add_argument("--megabytes", type=float, default=5000)
    parser.add_argument("--images", type=int, default=1000, help="images of the run")
    options = parser.parse_args()
    path = write_big_truth(options.folder / "big_truth.json", options.megabytes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    truth = read_truth(path, [(n, f"{n:012d}.jpg") for n in range(options.images)], 17)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    megabytes = path.stat().st_size / 1e6
    path.unlink()
    print(
        f"{megabytes:,.0f} MB, {len(truth.people):,} images of the run read in {seconds:.0f} s "
        f"({megabytes / seconds:.0f} MB/s), peak {peak:.0f} MB, {peak - before:.0f} MB of it by reading"
    )


if __name__ == "__main__":
    main()
