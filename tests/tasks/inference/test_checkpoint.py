"""Weights and labels survive a round through a file; what is not weights is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tasks.inference.checkpoint import labels_file, read_checkpoint, write_checkpoint
from tasks.inference.errors import ModelError

LABELS = ("dog, domestic", "cat")


@pytest.fixture
def net() -> nn.Module:
    """A network of one layer."""
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def test_what_is_written_is_read_back(tmp_path: Path, net: nn.Module) -> None:
    """Labels come back word for word, weights to half precision."""
    write_checkpoint(net, LABELS, tmp_path / "new folder" / "net.safetensors")
    found = read_checkpoint(tmp_path / "new folder" / "net.safetensors")
    assert found.labels == LABELS
    torch.testing.assert_close(found.state["weight"].float(), net.state_dict()["weight"], atol=1e-3, rtol=1e-3)


def test_a_labels_file_beside_the_weights_has_the_last_word(tmp_path: Path, net: nn.Module) -> None:
    """The operator can rename classes without touching the weights."""
    path = tmp_path / "net.safetensors"
    write_checkpoint(net, LABELS, path)
    labels_file(path).write_text("hound\n\n tom \n", encoding="utf-8")
    assert read_checkpoint(path).labels == ("hound", "tom")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"model": {"weight": torch.zeros(1)}, "epoch": 3}, id="training-state"),
        pytest.param([torch.zeros(1)], id="list"),
        pytest.param(torch.zeros(1), id="tensor"),
    ],
)
def test_tensors_in_another_shape_than_a_state_dict_are_refused(tmp_path: Path, content: object) -> None:
    """The operator reads what to save instead."""
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r"save model\.state_dict\(\)"):
        read_checkpoint(tmp_path / "net.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_cut_off_is_refused_in_one_line(tmp_path: Path, net: nn.Module, suffix: str) -> None:
    """An interrupted download does not become a model."""
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(net.state_dict(), path)
    else:
        write_checkpoint(net, LABELS, path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ModelError, match="not readable as weights") as refused:
        read_checkpoint(path)
    assert "\n" not in str(refused.value)
