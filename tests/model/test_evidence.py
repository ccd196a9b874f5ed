import json

import av
import numpy as np
import pytest
from PIL import Image
from tests.model.colors import COLOURS, PROMPT, image, shots, tiny

from savs.backbones import FakeBackbone
from savs.data import as_example
from savs.errors import ItemError
from savs.media import Video
from savs.model import SAVModel
from savs.model.explanation import occluded


def fitted(method: str = "sav", per_class: int = 4) -> SAVModel:
    return SAVModel(tiny(), prompt=PROMPT, method=method).fit(*shots(per_class))


def half(colour: str, other: str) -> Image.Image:
    """A colour, but for a corner of another one."""
    pixels = np.array(image(colour, 3))
    pixels[:8, :8] = COLOURS[other]
    return Image.fromarray(pixels)


@pytest.mark.parametrize("method", ["sav", "sav_loo", "mean_proba", "hec_v_loo"])
def test__heads__votes_are_those_of_the_classifier(method):
    model = fitted(method)
    query = image("green", 77)
    found = model.explain(query, tiles=0)
    assert found.label == model.predict([query]).tolist()[0] == "green"
    assert found.proba == dict(
        zip(model.classes_.tolist(), model.predict_proba([query])[0].tolist(), strict=True)
    )
    assert [one.head for one in found.heads] == model.heads_
    assert [one.vote for one in found.heads] == model.votes([query])[0].tolist()
    assert all(one.margin >= 0 for one in found.heads)
    assert sum(found.votes().values()) == len(model.heads_)


def test__margins_of_the_published_rule__are_the_plain_loop_in_float64():
    model = fitted()
    query = image("blue", 5)
    row = model.head_vectors([query], model.heads_)[0].astype(np.float64)
    kept = model.layout.select(model.heads_)
    centroids = model.classifier_.centroids_
    for one in model.explain(query, tiles=0).heads:
        span = kept.columns(one.head)
        cosines = []
        for centroid in centroids[:, span]:
            dot = sum(a * b for a, b in zip(row[span], centroid, strict=True))
            norms = sum(a * a for a in row[span]) ** 0.5 * sum(b * b for b in centroid) ** 0.5
            cosines.append(dot / norms)
        best, second = sorted(cosines, reverse=True)[:2]
        assert one.margin == pytest.approx(best - second, abs=1e-9)


@pytest.mark.parametrize("method", ["sav", "kernel_ridge", "ensemble"])
def test__nearest_shots__a_shot_itself_is_its_own_nearest(method):
    model = fitted(method)
    items, _ = shots(4)
    found = model.explain(items[5], tiles=0)
    assert (found.nearest[0].id, found.nearest[0].cosine) == ("5", pytest.approx(1, abs=1e-5))
    assert all(one.nearest[0].id == "5" for one in found.heads)
    assert len(found.heads) > 0
    assert found.agreement_entropy is not None
    assert 0 <= found.agreement_entropy <= 1


def test__loaded_without_shots__votes_where_heads_vote_and_no_nearest(tmp_path):
    for method, voting in (("sav", True), ("kernel_ridge", False)):
        fitted(method).save_pretrained(tmp_path / method)
        found = SAVModel.from_pretrained(tmp_path / method, backbone=tiny()).explain(image("red", 1), tiles=0)
        assert found.nearest == []
        assert bool(found.heads) == voting
        assert (found.agreement_entropy is None) != voting
        json.dumps(found.record())


def test__occlusion__hiding_what_carries_the_answer_hurts_most():
    model = SAVModel(tiny(), method="mean_proba").fit(
        [text for seed in range(5) for text in (f"it is very red {seed}", f"it is very blue {seed}")],
        ["red", "blue"] * 5,
    )
    found = model.explain("today it is very red here")
    assert found.label == "red"
    assert found.occlusion[0].where.text == "red"
    assert [one.drop for one in found.occlusion] == sorted(
        (one.drop for one in found.occlusion), reverse=True
    )
    again = model.predict_proba(["today it is very  here"])[0]
    column = model.classes_.tolist().index("red")
    expected = np.log(found.proba["red"]) - np.log(again[column])
    assert found.occlusion[0].drop == pytest.approx(expected, abs=1e-4)


def test__tiles__cover_the_image_once_and_only_they_change():
    example = as_example((half("red", "blue"), "What colour?"))
    variants = [variant for variant in occluded(example, 4) if variant.where.kind == "tile"]
    assert len(variants) == 16
    original = np.array(half("red", "blue"))
    seen = np.zeros(original.shape[:2], int)
    for where, changed in variants:
        left, top, right, bottom = where.box
        seen[top:bottom, left:right] += 1
        pixels = changed.images[0].source
        inside = np.zeros(seen.shape, bool)
        inside[top:bottom, left:right] = True
        assert (pixels[~inside] == original[~inside]).all()
        assert np.ptp(pixels[inside].reshape(-1, 3), axis=0).tolist() == [0, 0, 0]
    assert (seen == 1).all()
    words = [variant.where.text for variant in occluded(example, 0)]
    assert words == ["What", "colour?"]


def test__long_texts__are_cut_into_at_most_48_pieces_that_hold_every_word():
    text = " ".join(f"w{i}" for i in range(500))
    pieces = [variant.where.text for variant in occluded(as_example(text), 4)]
    assert len(pieces) <= 48
    assert " ".join(pieces) == text


@pytest.mark.parametrize("tiles", [-1, True, 2.0])
def test__tiles__that_are_no_number__are_refused(tiles):
    model = SAVModel(FakeBackbone(), n_heads=2).fit(["a", "b", "c", "d"], ["x", "y", "x", "y"])
    with pytest.raises(ValueError, match="tiles"):
        model.explain("a", tiles=tiles)


def test__explain__a_image_that_cannot_be_read__is_its_item_error(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no")
    with pytest.raises(ItemError, match="0: "):
        fitted().explain(tmp_path / "broken.png")


def test__suspects__swapped_labels_are_found_first():
    items, labels = shots(6)
    labels[0], labels[4] = "green", "red"
    model = SAVModel(tiny(), prompt=PROMPT).fit(items, labels)
    label_issues = model.find_label_issues()
    assert {one.id for one in label_issues[:2]} == {"0", "4"}
    assert {(one.id, one.label, one.suggested) for one in label_issues[:2]} == {
        ("0", "green", "red"),
        ("4", "red", "green"),
    }
    assert all(one.doubt > one.support for one in label_issues)
    assert SAVModel(tiny(), prompt=PROMPT).fit(*shots(6)).find_label_issues() == []


def test__a_video__is_read_frame_by_frame_and_not_cut_into_tiles(tmp_path):
    path = tmp_path / "red.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for seed in range(16):
            frame = av.VideoFrame.from_image(image("red", seed))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = fitted().explain(Video(path, n_frames=2), tiles=3)
    assert found.label == "red"
    assert {one.where.kind for one in found.occlusion} == {"words"}
