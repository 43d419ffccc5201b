"""Loads a deployment with photos over HTTP and tells how fast results came: a load generator for users.

    python -m bench.workload --url http://127.0.0.1:8000 --num-request 100 --image-folder photos --concurrency 16

Closed loop: each of `concurrency` users uploads a photo, waits for its result, and uploads the next one.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from bench.user import Outcome, User

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
BINS = 12
BAR_CHARS = 40


@dataclass(frozen=True)
class Summary:
    """What a load came to."""

    photos: int
    failed: int
    seconds: float
    photos_per_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    max_s: float
    model_cpu_ms: float  # of decoder and model, a photo


def load(
    user: User,
    photos: Sequence[Path],
    *,
    number: int,
    concurrency: int,
    done: Callable[[int], object],
    together: int = 1,
) -> list[Outcome]:
    """Upload `number` photos, the given ones in turn.

    Args:
        user: uploads them.
        photos: what is uploaded.
        number: how many.
        concurrency: photos at a time.
        done: called with the number of photos that are done, whenever some are.
        together: photos in a request.
    """

    def one(paths: Sequence[Path]) -> list[Outcome]:
        outcomes = user.classify(paths)
        done(len(paths))
        return outcomes

    paths = list(itertools.islice(itertools.cycle(photos), number))
    requests = [paths[first : first + together] for first in range(0, number, together)]
    with ThreadPoolExecutor(math.ceil(concurrency / together)) as pool:
        return [outcome for outcomes in pool.map(one, requests) for outcome in outcomes]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed (nearest rank).

    >>> quantile([3.0, 1.0, 2.0, 4.0], 0.5)
    2.0
    """
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def summarise(outcomes: Sequence[Outcome]) -> Summary:
    """Return what a load came to; latencies are those of the photos that got a label."""
    latencies = [outcome.latency_s for outcome in outcomes if not outcome.error] or [math.nan]
    seconds = max(outcome.begin_s + outcome.latency_s for outcome in outcomes) - min(o.begin_s for o in outcomes)
    return Summary(
        photos=len(outcomes),
        failed=sum(bool(outcome.error) for outcome in outcomes),
        seconds=seconds,
        photos_per_s=len(outcomes) / seconds,
        p50_s=quantile(latencies, 0.5),
        p95_s=quantile(latencies, 0.95),
        p99_s=quantile(latencies, 0.99),
        max_s=max(latencies),
        model_cpu_ms=1000
        * statistics.fmean([outcome.cpu_s for outcome in outcomes if not outcome.error] or [math.nan]),
    )


def histogram(latencies: Sequence[float]) -> str:
    """Return the latencies as bars, a line for each bin."""
    low, high = min(latencies), max(latencies)
    width = (high - low) / BINS or 1.0
    counts = [0] * BINS
    for latency in latencies:
        counts[min(BINS - 1, int((latency - low) / width))] += 1
    return "\n".join(
        f"{1000 * (low + number * width):8.0f} ms  {'█' * math.ceil(BAR_CHARS * count / max(counts)):40}  {count}"
        for number, count in enumerate(counts)
    )


def find_photos(folder: Path) -> list[Path]:
    """Return the photos of a folder and its subfolders.

    Raises:
        SystemExit: there are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"error: no photos in {folder} ({', '.join(sorted(SUFFIXES))})")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Load, print what came of it; return 0 if every photo got a label."""
    chosen = _arguments(argv)
    photos = find_photos(chosen.image_folder)
    user = User(chosen.url, chosen.deadline_s, api_key=chosen.api_key, insecure=chosen.insecure)
    with tqdm(total=chosen.num_request, unit="photo", disable=None) as bar:
        outcomes = load(
            user,
            photos,
            number=chosen.num_request,
            concurrency=chosen.concurrency,
            done=bar.update,
            together=chosen.together,
        )
    summary = summarise(outcomes)
    _print(summary, outcomes)
    if chosen.json:
        chosen.json.write_text(json.dumps({"summary": asdict(summary), "photos": [asdict(o) for o in outcomes]}))
    if chosen.csv:
        _write_csv(chosen.csv, [asdict(outcome) for outcome in outcomes])
    return 1 if summary.failed else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.workload", description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the web app (default: %(default)s)")
    parser.add_argument("--num-request", "--num_request", type=_positive, default=100, help="photos (default: 100)")
    parser.add_argument("--image-folder", "--image_folder", type=Path, required=True, help="photos, sent in turn")
    parser.add_argument("--concurrency", type=_positive, default=16, help="photos at a time (default: 16)")
    parser.add_argument("--together", type=_positive, default=1, help="photos in a request (default: 1)")
    parser.add_argument("--deadline-s", type=float, default=600, help="how long a photo may take (default: 600)")
    parser.add_argument("--api-key", default=os.environ.get("CLASSIFIER_API_KEY", ""), help="or in CLASSIFIER_API_KEY")
    parser.add_argument("--insecure", action="store_true", help="take any certificate")
    parser.add_argument("--json", type=Path, help="write summary and outcomes to this file")
    parser.add_argument("--csv", type=Path, help="write outcomes to this file")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _print(summary: Summary, outcomes: Sequence[Outcome]) -> None:
    answered = [outcome for outcome in outcomes if not outcome.error]
    if answered:
        print(histogram([outcome.latency_s for outcome in answered]))
        asked = statistics.fmean(outcome.asked for outcome in answered)
        print(
            f"{summary.photos} photos in {summary.seconds:.1f} s, {summary.photos_per_s:.1f} a second; latency "
            f"p50 {1000 * summary.p50_s:.0f} ms, p95 {1000 * summary.p95_s:.0f} ms, p99 {1000 * summary.p99_s:.0f} ms, "
            f"longest {1000 * summary.max_s:.0f} ms; {asked:.1f} questions a photo"
        )
    for outcome in outcomes:
        if outcome.error:
            print(f"{outcome.name}: {outcome.error}", file=sys.stderr)


def _write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
