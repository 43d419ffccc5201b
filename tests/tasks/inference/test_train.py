"""Training and evaluating the bundled model, on a tiny data set."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tasks.inference import evaluate, train
from tasks.inference.labels import EVERYDAY10_LABELS


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes of a few images each, every class with a colour of its own."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for index, label in enumerate(EVERYDAY10_LABELS):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 60, (32, 32, 3)) + np.array([index * 19, 190 - index * 19, index % 2 * 190])
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(folder / split / label / f"{number}.jpg")
    return folder


def run(data: Path, folder: Path, *options: str, status: int = 0) -> dict[str, torch.Tensor]:
    """Train and return the written weights; none if the command is expected to fail."""
    out = folder / "model.safetensors"
    common = ["--data", str(data), "--out", str(out), "--checkpoint", str(folder / "checkpoint")]
    assert train.main([*common, "--batch-size", "30", "--precision", "fp32", "--threads", "1", *options]) == status
    return {} if status else dict(load_file(out))


def test_a_resumed_run_ends_like_one_that_never_stopped(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same seed, same epochs: the weights are the same whether or not the run was interrupted."""
    whole = run(data, tmp_path / "whole", "--epochs", "2")

    def stop_after_one(self: train.Training) -> float:
        if self.epochs_done == 1:
            raise KeyboardInterrupt
        return epoch(self)

    epoch = train.Training.epoch
    monkeypatch.setattr(train.Training, "epoch", stop_after_one)
    run(data, tmp_path / "halves", "--epochs", "2", status=train.STOPPED)
    monkeypatch.undo()
    resumed = run(data, tmp_path / "halves", "--epochs", "2", "--resume")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_run_does_not_go_on_with_another_recipe(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint of one schedule is not continued on another by mistake."""
    run(data, tmp_path, "--epochs", "1")
    run(data, tmp_path, "--epochs", "2", "--resume", status=1)
    assert "begun with epochs=1, not 2" in capsys.readouterr().err


def test_a_run_can_begin_with_the_weights_of_another(data: Path, tmp_path: Path) -> None:
    """At a learning rate near zero a run ends close to where it began."""
    first = run(data, tmp_path / "first", "--epochs", "1")
    begin = str(tmp_path / "first" / "model.safetensors")
    second = run(data, tmp_path / "second", "--epochs", "1", "--init", begin, "--peak-rate", "1e-9", "--seed", "7")
    assert all(torch.allclose(first[name], second[name], atol=1e-3) for name in first if "running" not in name)


def test_another_seed_gives_another_model(data: Path, tmp_path: Path) -> None:
    """The seed decides the weights, so that a run can be repeated."""
    one, same, other = (
        run(data, tmp_path / str(number), "--epochs", "1", "--seed", seed)["head.weight"]
        for number, seed in enumerate("001")
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_evaluate_prints_the_accuracy_by_class_and_in_all(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every class and the total are counted over the whole split, from a zip as from a folder."""
    run(data, tmp_path, "--epochs", "1")
    archive = shutil.make_archive(str(tmp_path / "data"), "zip", data)
    capsys.readouterr()
    monkeypatch.setattr(evaluate, "BATCH", 3)
    assert evaluate.main(["--data", archive, "--weights", str(tmp_path / "model.safetensors")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*EVERYDAY10_LABELS, "top-1"]
    assert all("of 2" in line for line in lines[:-1])
    assert "of 20;" in lines[-1]


def test_data_without_a_class_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong folder is named, with the layout that is expected."""
    assert train.main(["--data", str(tmp_path), "--out", str(tmp_path / "model.safetensors")]) == 1
    assert "no images in train/airplane" in capsys.readouterr().err


def test_a_file_that_is_no_data_set_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a folder nor a zip: said so, without a traceback."""
    (tmp_path / "data.tar").write_bytes(b"not a zip")
    assert evaluate.main(["--data", str(tmp_path / "data.tar")]) == 1
    assert "neither a folder nor a zip" in capsys.readouterr().err


def test_a_class_that_the_model_lacks_is_refused_in_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that no answer could match is not counted as wrong answers."""
    shutil.copytree(data / "test" / "cat", tmp_path / "test" / "unicorn")
    assert evaluate.main(["--data", str(tmp_path)]) == 1
    assert "no class named unicorn" in capsys.readouterr().err


def test_the_report_counts_right_answers_and_names_the_commonest_wrong_one() -> None:
    """Right answers are those that equal the class, of all that were given."""
    answers = {"cat": Counter(cat=7, dog=2, deer=1), "dog": Counter(dog=10)}
    cat, dog, total = evaluate.report(answers)
    assert cat == "cat           70.00 %  (7 of 10; most often taken for dog, 2)"
    assert dog == "dog          100.00 %  (10 of 10)"
    assert total.startswith("top-1         85.00 %  (17 of 20;")
