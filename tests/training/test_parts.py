"""Schedule, optimizer, photographs and the rule that abilities are read with."""

import io
import tarfile
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from training.abilities import head_votes, vote
from training.optimizer import BatchedMuon, Optimizer
from training.photos import NAMED, read_photos
from training.schedule import Budget


def test__budget__warms_up_holds_and_decays_to_zero():
    budget = Budget(steps=1000)
    factors = [budget.factor(budget.progress(step, 0.0)) for step in range(0, 1001, 10)]
    assert factors[0] < 0.2
    assert factors[10] == factors[50] == 1.0
    assert factors[-1] == 0.0
    assert all(later <= earlier for earlier, later in pairwise(factors[10:]))


def test__budget__minutes__end_a_slow_run_in_time():
    budget = Budget(steps=1000, minutes=10)
    assert budget.progress(100, 300.0) == 0.5
    assert budget.progress(800, 300.0) == 0.8
    assert budget.progress(100, 601.0) == 1.0


def test__batched_muon__updates_as_torch_does():
    torch.manual_seed(0)
    start = [torch.randn(shape) for shape in ((16, 24), (24, 16), (16, 24), (8, 8))]
    ours, theirs = ([torch.nn.Parameter(one.clone()) for one in start] for _ in range(2))
    settings = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.95, "adjust_lr_fn": "match_rms_adamw"}
    optimizers = BatchedMuon(ours, **settings), torch.optim.Muon(theirs, **settings)
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test__optimizer__convolution__is_updated_in_place():
    layer = torch.nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
    before = layer.weight.detach().clone()
    optimizer = Optimizer(layer.named_parameters(), 0.01, 0.01)
    layer(torch.randn(2, 4, 6, 6)).square().sum().backward()
    optimizer.step(1.0)
    assert not torch.equal(before, layer.weight)
    assert layer.weight.grad is None


@pytest.fixture
def photo_folder(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in (*NAMED, "deer"):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / "0001.jpg")
    return tmp_path / "photos"


def test__read_photos__held_out_class__is_refused_in_training(photo_folder):
    with pytest.raises(ValueError, match="held out"):
        read_photos(photo_folder, "train", ("cat", "deer"))
    assert len(read_photos(photo_folder, "test", ("cat", "deer")).pixels) == 2


def test__read_photos__archive_and_folder__give_the_same(photo_folder, tmp_path):
    archive = tmp_path / "photos.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        for file in sorted(photo_folder.rglob("*.jpg")):
            content = file.read_bytes()
            entry = tarfile.TarInfo(file.relative_to(photo_folder).as_posix())
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    packed, loose = (read_photos(path, "train", NAMED) for path in (archive, photo_folder))
    np.testing.assert_array_equal(packed.pixels, loose.pixels)
    assert packed.pixels.shape == (len(NAMED), 64, 64, 3)


def test__read_photos__nothing_there__says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no photographs"):
        read_photos(tmp_path, "train", NAMED)


def test__vote__tie__goes_to_the_first_voting_head():
    assert vote(np.array([[2, 0, 0, 2, 1], [1, 0, 0, 1, 0]]), 3).tolist() == [2, 0]


def test__head_votes__useful_head__gets_the_hits():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 10)
    heads = rng.normal(size=(20, 3, 4))
    heads[:, 1] = 0.05 * heads[:, 1] + np.where(labels == 0, 1.0, -1.0)[:, None]
    hits, votes = head_votes(heads, labels, heads)
    assert hits[1] == 20 > hits[0]
    assert (votes[:, 1] == labels).all()
