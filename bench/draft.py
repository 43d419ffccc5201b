"""What decoding large JPEGs at a part of their size changes in the answers, and what it saves.

python -m bench.draft --image-folder photos --model everyday10
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from bench.bare_loop import MAX_PIXELS
from bench.service import shipped_photos
from bench.workload import find_photos, quantile
from tasks.inference.classifier import Classifier, Prediction
from tasks.inference.decode import decode
from tasks.inference.registry import load_classifier
from tasks.weights import download


@dataclass(frozen=True)
class Difference:
    """One photo, decoded in part and whole."""

    probability: float  # the largest change of any of the five likeliest labels
    same_label: bool
    draft_s: float
    whole_s: float


def main() -> int:
    """Compare and print."""
    chosen = _arguments()
    classifier = load_classifier(chosen.model, weights=chosen.weights, device="cpu", download=download)
    with tempfile.TemporaryDirectory() as name:
        photos = find_photos(chosen.image_folder) if chosen.image_folder else shipped_photos(Path(name))
        differences = [compare(classifier, photo.read_bytes()) for photo in tqdm(photos, disable=None)]
    changes = [one.probability for one in differences]
    saved = 1 - sum(one.draft_s for one in differences) / sum(one.whole_s for one in differences)
    print(
        f"{len(differences)} photos, {chosen.model}: the label stays for {sum(one.same_label for one in differences)}"
    )
    print(f"largest change of a probability: median {quantile(changes, 0.5):.4f}, most {max(changes):.4f}")
    print(f"decoding takes {100 * saved:.0f} % less time")
    return 0


def compare(classifier: Classifier, data: bytes) -> Difference:
    """Classify a photo both ways."""
    draft, draft_s = classify(classifier, data, classifier.input_side_px)
    whole, whole_s = classify(classifier, data, None)
    before = dict(whole.top)
    change = max(abs(value - before.get(label, 0.0)) for label, value in draft.top)
    return Difference(change, draft.label == whole.label, draft_s, whole_s)


def classify(classifier: Classifier, data: bytes, min_side_px: int | None) -> tuple[Prediction, float]:
    """Return the prediction, and the seconds that decoding took."""
    begin_s = time.perf_counter()
    image = decode(data, max_pixels=MAX_PIXELS, min_side_px=min_side_px)
    took_s = time.perf_counter() - begin_s
    return classifier.predict([classifier.preprocess(image)])[0], took_s


def _arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.draft", description=__doc__.splitlines()[0])
    parser.add_argument("--image-folder", type=Path, help="photos; without: those shipped with the dependencies")
    parser.add_argument("--model", default="everyday10", help="by name (default: %(default)s)")
    parser.add_argument("--weights", default="", help="file, s3:// URL or torchvision's name for them")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
