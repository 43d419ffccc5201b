"""Measures a model on a labelled test split: ``python -m tasks.inference.evaluate --data cifar10.zip``.

Every image goes the way that a user's photo goes: file, decoder, preprocessing, model.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from tasks.inference.classifier import Classifier
from tasks.inference.dataset import MAX_PIXELS, DatasetError, class_names, labelled_files
from tasks.inference.decode import decode
from tasks.inference.errors import BadImage, ModelError
from tasks.inference.registry import BUNDLED, load_classifier
from tasks.inference.runtime import PRECISIONS, RUNTIMES

BATCH = 200


def evaluate(classifier: Classifier, data: Path, split: str) -> dict[str, Counter[str]]:
    """Classify a split; return how often each class got each label, the classes being the split's folders.

    Raises:
        BadImage: a file is not an image.
        DatasetError: the data is not laid out as expected, or has a class that the model lacks.
    """
    classes = class_names(data, split)
    if unknown := sorted(set(classes) - set(classifier.labels)):
        raise DatasetError(
            f"{data}: {classifier.name} has no class named {unknown[0]}; name the folders after its labels"
        )
    answers: dict[str, Counter[str]] = {label: Counter() for label in classes}
    files = iter(tqdm(labelled_files(data, split, classes), desc=split, unit="image", mininterval=1))
    while part := list(itertools.islice(files, BATCH)):
        images = [decode(content, max_pixels=MAX_PIXELS, min_side_px=classifier.input_side_px) for content, _ in part]
        predictions = classifier.predict([classifier.preprocess(image) for image in images])
        for prediction, (_, index) in zip(predictions, part, strict=True):
            answers[classes[index]][prediction.label] += 1
    return answers


def report(answers: dict[str, Counter[str]]) -> Iterator[str]:
    """Yield a line for each class, and one for all.

    >>> list(report({"cat": Counter(cat=8, dog=2), "dog": Counter(dog=10)}))[0]
    'cat           80.00 %  (8 of 10; most often taken for dog, 2)'
    """
    for label, given in answers.items():
        line = f"{label:<12} {_share(given[label], given.total())}"
        wrong = given - Counter({label: given[label]})
        taken_for = "; most often taken for {}, {}".format(*wrong.most_common(1)[0]) if wrong else ""
        yield f"{line} ({given[label]} of {given.total()}{taken_for})"
    right = sum(given[label] for label, given in answers.items())
    count = sum(given.total() for given in answers.values())
    yield f"{'top-1':<12} {_share(right, count)} ({right} of {count}; torch {torch.__version__})"


def _share(right: int, count: int) -> str:
    return f"{100 * right / count:6.2f} % "


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
    parser.add_argument("--runtime", choices=("auto", *RUNTIMES), default="auto")
    options = parser.parse_args(argv)
    try:
        classifier = load_classifier(
            options.model,
            weights=options.weights,
            device=options.device,
            download=_refuse,
            precision=options.precision,
            runtime=options.runtime,
        )
        answers = evaluate(classifier, options.data, options.split)
    except (BadImage, DatasetError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(report(answers)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
