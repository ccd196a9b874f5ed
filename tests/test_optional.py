"""Without optional packages, images and text work, and everything else names the extra that it needs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

WITHOUT = """
import sys

class WithoutMissing:
    def __init__(self, finder):
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            return None
        return self._finder.find_spec(name, path, target)

sys.meta_path[:] = [WithoutMissing(finder) for finder in sys.meta_path]
"""
OPTIONAL = ("av", "soundfile", "soxr", "pillow_heif", "matplotlib")


def run_without(missing: tuple[str, ...], code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    program = WITHOUT.format(missing=missing) + textwrap.dedent(code)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


COMMAND = "from savs.cli.main import run; sys.exit(run(sys.argv[1:]))"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, color in {"red": (220, 40, 30), "blue": (30, 60, 220)}.items():
        (folder / "images" / name).mkdir(parents=True)
        for number in range(2):
            size = (24 + 4 * number, 24)
            Image.new("RGB", size, color).save(folder / "images" / name / f"{number}.png")
    (folder / "clip.mp4").write_bytes(b"not decoded here")
    (folder / "tone.wav").write_bytes(b"not decoded here")
    (folder / "video.jsonl").write_text('{"video": "clip.mp4", "label": "a"}\n' * 2)
    (folder / "photo.heic").write_bytes(b"not decoded here")
    (folder / "heic.jsonl").write_text('{"image": "photo.heic", "label": "a"}\n' * 2)
    (folder / "audio.jsonl").write_text('{"audio": "tone.wav", "label": "a"}\n' * 2)
    return folder


def test__without_any_optional_package__images_are_fitted_and_classified(data, tmp_path):
    code = """
    from savs.cli.main import run
    images, classifier = sys.argv[1:]
    fit = ["fit", images, "-b", "tiny", "--prompt", "What colour?", "-o", classifier, "--quiet"]
    code = run(fit) or run(["predict", classifier, images])
    loaded = {"av", "soundfile", "soxr", "pillow_heif", "matplotlib"} & set(sys.modules)
    sys.exit(code or bool(loaded))
    """
    done = run_without(OPTIONAL, code, data / "images", tmp_path / "classifier")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "video.jsonl"), "videos need PyAV: pip install 'savs[video]'"),
        (("fit", "audio.jsonl"), "audio files need soundfile: pip install 'savs[audio]'"),
        (("fit", "heic.jsonl"), "HEIC images need pillow-heif: pip install 'savs[heif]'"),
        (("extract", "video.jsonl"), "videos need PyAV: pip install 'savs[video]'"),
    ],
)
def test__data_that_needs_a_missing_package__one_line_before_any_model(data, tmp_path, arguments, message):
    command, name = arguments
    options = ["-b", "no/such-model", "-o", tmp_path / "out"]
    done = run_without(OPTIONAL, COMMAND, command, data / name, *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"savs: error: {message}\n"


def test__demo__without_matplotlib__one_line_and_nothing_is_written(tmp_path):
    done = run_without(OPTIONAL, COMMAND, "demo", "-b", "no/such-model", "--output", tmp_path / "results")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "savs: error: plots need matplotlib: pip install 'savs[plots]'\n"
    assert not list(tmp_path.iterdir())


def test__plot_of_compare__without_matplotlib__one_line_before_anything_is_read(data, tmp_path):
    arguments = [data / "images", "-b", "no/such-model", "--plot", tmp_path / "plot.png"]
    done = run_without(OPTIONAL, COMMAND, "compare", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "savs: error: plots need matplotlib: pip install 'savs[plots]'\n"
    assert not list(tmp_path.iterdir())


def test__audio_at_another_rate__without_soxr__names_the_extra():
    code = """
    import numpy as np
    from savs.errors import MissingDependencyError
    from savs.media import load_audio
    from savs import Audio
    clip = Audio(np.zeros(8000, np.float32), 8000)
    assert len(load_audio(clip, 8000)) == 8000
    try:
        load_audio(clip, 16000)
    except MissingDependencyError as error:
        print(error, isinstance(error, ImportError), error.name, error.extra)
    """
    done = run_without(("soxr",), code)
    assert done.stderr == ""
    needs = "audio at another sampling rate than the model's needs soxr: pip install 'savs[audio]'"
    assert done.stdout == f"{needs} True soxr audio\n"


def test__without_fcntl__stores_and_resumable_output_say_so_and_the_rest_works(data, tmp_path):
    code = """
    sys.modules["fcntl"] = None
    from savs.cli.main import run
    images, classifier, output, store = sys.argv[1:]
    fit = ["fit", images, "-b", "tiny", "--prompt", "What colour?", "-o", classifier, "--quiet"]
    assert run(fit) == 0
    assert run(["predict", classifier, images]) == 0
    assert run(["predict", classifier, images, "-o", output]) == 1
    assert run([*fit, "--store", store]) == 1
    """
    paths = [tmp_path / name for name in ("classifier", "answers.jsonl", "store")]
    done = run_without((), code, data / "images", *paths)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "savs: error: savs predict --output needs Linux or macOS; on Windows, run savs in WSL",
        "savs: error: a feature store needs Linux or macOS; on Windows, run savs in WSL",
    ]


def test__heic_under_another_name__without_pillow_heif__error_of_that_image_alone(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(600))
    code = """
    from savs.errors import MediaError
    from savs.media import image_area, load_image
    data = open(sys.argv[1], "rb").read()
    try:
        load_image(data)
    except MediaError as error:
        print(error.code, error.message, image_area(data))
    """
    done = run_without(("pillow_heif",), code, tmp_path / "photo.jpg")
    assert done.stderr == ""
    assert done.stdout == "image_format HEIC images need pillow-heif: pip install 'savs[heif]' 0\n"


def test__embeddings__without_the_packages__name_the_extras():
    code = """
    from savs.baselines import embedding_centroid, setfit
    from savs.data import as_examples
    from savs.errors import MissingDependencyError
    shots = as_examples([{"text": "one", "label": "a"}, {"text": "two", "label": "b"}])
    for baseline in (embedding_centroid, setfit):
        try:
            baseline("no/such-model", shots, shots)
        except MissingDependencyError as error:
            print(error)
    """
    done = run_without(("sentence_transformers", "setfit"), code)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "text embeddings need sentence-transformers: pip install 'savs[embeddings]'",
        "SetFit needs the package setfit: pip install 'savs[setfit]'",
    ]
