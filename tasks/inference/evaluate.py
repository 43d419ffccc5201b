"""Measures a model on a labelled test split: ``python -m tasks.inference.evaluate --data cifar10.zip``.

Every image goes the way that a user's photo goes: file, decoder, preprocessing, model.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from tasks.inference.classifier import PRECISIONS, Classifier
from tasks.inference.dataset import MAX_PIXELS, DatasetError, class_names, labelled_files
from tasks.inference.decode import decode
from tasks.inference.errors import BadImage, ModelError
from tasks.inference.registry import BUNDLED, load_classifier

BATCH = 200


def evaluate(classifier: Classifier, data: Path, split: str) -> dict[str, tuple[int, int]]:
    """Classify a split; return right answers and images by class, the classes being the split's folders.

    Raises:
        BadImage: a file is not an image.
        DatasetError: the data is not laid out as expected, or has a class that the model lacks.
    """
    classes = class_names(data, split)
    if unknown := sorted(set(classes) - set(classifier.labels)):
        raise DatasetError(
            f"{data}: {classifier.name} has no class named {unknown[0]}; name the folders after its labels"
        )
    tally = {label: [0, 0] for label in classes}
    files = iter(tqdm(labelled_files(data, split, classes), desc=split, unit="image", mininterval=1))
    while part := list(itertools.islice(files, BATCH)):
        images = [decode(content, max_pixels=MAX_PIXELS, min_side_px=classifier.input_side_px) for content, _ in part]
        predictions = classifier.predict([classifier.preprocess(image) for image in images])
        for prediction, (_, index) in zip(predictions, part, strict=True):
            counts = tally[classes[index]]
            counts[0] += prediction.label == classes[index]
            counts[1] += 1
    return {label: (right, count) for label, (right, count) in tally.items()}


def _refuse(url: str) -> Path:
    raise ModelError(f"--weights {url}: give a file here")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tasks.inference.evaluate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder or zip: <split>/<class>/<file>.jpg")
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", default=BUNDLED)
    parser.add_argument("--weights", default="", help="a file; empty: the model's own")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("auto", *PRECISIONS), default="auto")
    options = parser.parse_args(argv)
    try:
        classifier = load_classifier(
            options.model,
            weights=options.weights,
            device=options.device,
            download=_refuse,
            precision=options.precision,
        )
        tally = evaluate(classifier, options.data, options.split)
    except (BadImage, DatasetError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for label, (right, count) in tally.items():
        print(f"{label:<12} {100 * right / count:6.2f} %  ({right} of {count})")
    right, count = (sum(column) for column in zip(*tally.values(), strict=True))
    print(f"{'top-1':<12} {100 * right / count:6.2f} %  ({right} of {count}, torch {torch.__version__})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
