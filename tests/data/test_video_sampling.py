"""Which frames of a dataset's videos are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from savs.data import as_example, read_examples
from savs.data.reading import MOST_TIMED_FRAMES, sampled
from savs.errors import ItemError
from savs.media import Audio, Image, Video


def videos(example: object) -> list[tuple[int, float | None]]:
    return [(part.n_frames, part.fps) for part in example.images if isinstance(part, Video)]


@pytest.mark.parametrize(
    ("n_frames", "fps", "expected"),
    [(None, None, (3, 1.0)), (16, None, (16, None)), (None, 2.0, (MOST_TIMED_FRAMES, 2.0)), (12, 2, (12, 2))],
)
def test__sampled__number_rate_or_both(n_frames, fps, expected) -> None:
    given = as_example(
        [Video(b"film", 3, 1.0), Image(b"picture"), Audio(b"sound"), Video(b"other", 3, 1.0), "q"]
    )
    found = sampled(given, n_frames, fps)
    assert videos(found) == [expected] * 2
    assert [type(part) for part in found.parts] == [type(part) for part in given.parts]
    assert found.images[1] is given.images[1]
    assert videos(given) == [(3, 1.0)] * 2


@pytest.mark.parametrize(("n_frames", "fps"), [(0, None), (1025, None), (None, 0.0), (None, float("nan"))])
def test__sampled__numbers_that_mean_nothing__refused(n_frames, fps) -> None:
    with pytest.raises(ItemError, match=r"n_frames is a whole number|fps is a number"):
        sampled(as_example([Video(b"film"), "q"]), n_frames, fps)


def test__read_examples__frames_and_rate__those_of_every_video(tmp_path: Path) -> None:
    rows = [{"video": "a.mp4", "question": "q"}, {"video": ["b.mp4", "c.mp4"], "question": "q"}]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_examples(tmp_path / "d.jsonl", video_frames=16, video_fps=0.5)
    assert [videos(example) for example in found] == [[(16, 0.5)], [(16, 0.5)] * 2]


def test__read_examples__folder_of_videos__sampled_too(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "a.mp4").write_bytes(b"film")
    (found,) = read_examples(tmp_path, video_frames=5)
    assert (videos(found), found.label) == ([(5, None)], "walk")
