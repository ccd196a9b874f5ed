import json

import numpy as np
import pytest
from PIL import Image
from tests.model.colors import COLOURS, image


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images by class in folders, and classifiers made of them."""
    folder = tmp_path_factory.mktemp("explain")
    for colour in COLOURS:
        (folder / "train" / colour).mkdir(parents=True)
        for seed in range(4):
            image(colour, seed).save(folder / "train" / colour / f"{seed}.png")
    return folder


@pytest.fixture
def classifier(data, savs):
    target = data / "clf"
    if not target.exists():
        command = ["fit", data / "train", "-b", "tiny", "--prompt", "What colour?", "--method", "mean_proba"]
        assert savs(*command, "--keep-shots", "-o", target, "-q")[0] == 0
    return target


def test__json__holds_votes_nearest_shots_and_occlusion(data, classifier, savs):
    code, text, error = savs(
        "explain", classifier, data / "train", "--id", "red/2.png", "--tiles", 2, "--json"
    )
    assert (code, error) == (0, "")
    found = json.loads(text)
    assert (found["id"], found["label"]) == ("red/2.png", "red")
    assert found["nearest"][0]["id"] == "red/2.png"
    assert len(found["heads"]) == 20
    assert {one["kind"] for one in found["occlusion"]} == {"tile", "words"}
    assert len([one for one in found["occlusion"] if one["kind"] == "tile"]) == 4
    assert sum(found["proba"].values()) == pytest.approx(1)


def test__several_sources_and_patterns__are_one_dataset(data, classifier, savs):
    files = [data / "train" / "blue" / "0.png", data / "train" / "red" / "*.png"]
    code, text, error = savs("explain", classifier, *files, "--id", "red/2.png", "--tiles", 0, "--json")
    assert (code, error) == (0, "")
    assert (json.loads(text)["id"], json.loads(text)["label"]) == ("red/2.png", "red")
    code, _, error = savs("explain", classifier, *files, "--id", "nobody")
    assert (code, error.count("\n")) == (1, 1)
    assert "the 2 sources have no example with id 'nobody'" in error
    code, _, error = savs("explain", classifier, *files, "--plot", files[0])
    assert code == 2
    assert "is the data itself" in error


def test__table_and_image__are_made(data, classifier, savs):
    code, text, _ = savs("explain", classifier, data / "train/blue/0.png", "--plot", data / "why.png")
    assert code == 0
    for words in ("answer: blue", "votes of 20 heads", "nearest shots: blue/0.png", "part 0: x 0-8, y 0-8"):
        assert words in text
    pixels = np.asarray(Image.open(data / "why.png").convert("RGB"))
    assert pixels.shape[0] > 300
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing.png"], 1, "does not exist"),
        (["train", "--id", "nobody"], 1, "no example with id 'nobody'"),
        (["train", "--tiles", "-1"], 2, "--tiles"),
        (["train", "--plot", "train/red/0.png/why.png"], 1, "ot a folder"),
    ],
)
def test__wrong_use__is_one_line_and_its_exit_code(
    data, classifier, savs, monkeypatch, arguments, code, message
):
    monkeypatch.chdir(data)
    found = savs("explain", classifier, *arguments)
    assert found[0] == code
    assert message in found[2]


def test__suspects__of_swapped_labels__without_a_model(data, savs):
    wrong = data / "wrong"
    for colour in COLOURS:
        (wrong / colour).mkdir(parents=True)
        for seed in range(5):
            image(colour, seed).save(wrong / colour / f"{seed}.png")
    image("red", 50).save(wrong / "blue" / "really-red.png")
    command = ["fit", wrong, "-b", "tiny", "--prompt", "What colour?", "-o", data / "doubted", "-q"]
    assert savs(*command, "--keep-shots")[0] == 0
    found = json.loads(savs("inspect", data / "doubted", "--label-issues", "--json")[1])["label_issues"]
    assert [(one["id"], one["suggested"]) for one in found] == [("blue/really-red.png", "red")]
    text = savs("inspect", data / "doubted", "--label-issues")[1]
    assert "really-red.png" in text
    assert savs(*command)[0] == 0
    code, _, error = savs("inspect", data / "doubted", "--label-issues")
    assert code == 1
    assert "--keep-shots" in error
