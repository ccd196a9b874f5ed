"""Image-text models of transformers' own classes with random weights; formulas against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import AutoModel

from savs.baselines import (
    ImageTextModel,
    clip_gda,
    clip_probe,
    clip_tip_adapter,
    clip_zero_shot,
    logistic_probe,
)
from savs.baselines.image_text import GDA_ALPHAS, TIP_ALPHAS, TIP_BETAS
from savs.data import Example, Message, Text
from savs.errors import BackboneError, DataError, MediaError
from savs.media import Image

CLASSES = ["bird", "cat", "dog"]
COLORS = {"bird": (200, 40, 40), "cat": (40, 200, 40), "dog": (40, 40, 200)}


def picture(seed: int, label: str = "cat", size: tuple[int, int] = (30, 44)) -> Image:
    rng = np.random.default_rng(seed)
    pixels = np.array(COLORS[label]) + rng.normal(0, 60, (size[1], size[0], 3))
    return Image(pixels.clip(0, 255).astype(np.uint8))


def example(*parts, label=None, id=None) -> Example:
    return Example((Message("user", (*parts, Text("What is it?"))),), label, id)


def drawn(n: int, start: int, labeled: bool = True) -> list[Example]:
    names = [CLASSES[place % 3] for place in range(n)]
    return [
        example(picture(start + place, name, (30 + place, 44)), label=name if labeled else None)
        for place, name in enumerate(names)
    ]


@pytest.fixture(scope="module", params=["clip", "siglip", "siglip2"])
def model(request, image_text_folders) -> ImageTextModel:
    return ImageTextModel.load(image_text_folders[request.param], device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def clip(image_text_folders) -> ImageTextModel:
    return ImageTextModel.load(str(image_text_folders["clip"]), device="cpu")


def test__load__transformers_own_embeddings(model) -> None:
    queries = drawn(6, 0)
    images = [query.images[0].source for query in queries]
    inputs = model.processor.image_processor(images=images, return_tensors="pt")
    plain = AutoModel.from_pretrained(model.model.name_or_path, local_files_only=True).eval()
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(plain.get_image_features(**inputs).pooler_output).numpy()
    np.testing.assert_allclose(model.embed_images(queries), expected, atol=1e-5)
    tokens = model.processor.tokenizer(["a photo of a cat."], padding="max_length", max_length=12)
    with torch.inference_mode():
        ids = torch.tensor(tokens["input_ids"])
        text = torch.nn.functional.normalize(plain.get_text_features(input_ids=ids).pooler_output).numpy()
    np.testing.assert_allclose(model.embed_texts(["a photo of a cat."]), text, atol=1e-5)
    assert model.width == text.shape[1]


def test__embeddings__alone_or_in_a_batch__same(model) -> None:
    queries, texts = drawn(7, 100), ["a cat", "the bird flies", "dog " * 30, ""]
    together = model.embed_images(queries)
    single = ImageTextModel(model.model, model.processor, batch_size=1)
    np.testing.assert_allclose(
        np.concatenate([single.embed_images([one]) for one in queries]), together, atol=1e-6
    )
    np.testing.assert_allclose(single.embed_texts(texts), model.embed_texts(texts), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1)
    assert np.abs(together - together[0]).max() > 1e-4


def test__embed_images__several_images__mean_of_unit_embeddings(clip) -> None:
    first, second = picture(1), picture(2, "dog")
    alone = clip.embed_images([example(first), example(second)])
    both = clip.embed_images([example(first, second)])[0]
    np.testing.assert_allclose(both, alone.mean(axis=0) / np.linalg.norm(alone.mean(axis=0)), atol=1e-6)


def test__embed_images__seen_before__not_computed_again(clip) -> None:
    queries = drawn(3, 500)
    before = clip.embed_images(queries)
    calls = []
    handle = clip.model.vision_model.register_forward_hook(lambda *_: calls.append(1))
    try:
        np.testing.assert_array_equal(clip.embed_images([*queries, queries[0]]), before[[0, 1, 2, 0]])
        assert calls == []
        clip.embed_images(drawn(1, 900))
        assert calls == [1]
    finally:
        handle.remove()


def test__model__training_mode_of_the_callers_model__is_back_afterwards(image_text_folders, clip) -> None:
    own = AutoModel.from_pretrained(image_text_folders["clip"]).train()
    wrapped = ImageTextModel(own, clip.processor)
    np.testing.assert_allclose(wrapped.embed_images(drawn(2, 0)), clip.embed_images(drawn(2, 0)), atol=1e-6)
    assert own.training
    assert all(parameter.grad is None for parameter in own.parameters())


def loop_cosine_logits(images, texts) -> list[list[float]]:
    return [[100 * sum(a * b for a, b in zip(f, w, strict=True)) for w in texts] for f in images]


def softmax(rows) -> list[list[float]]:
    return [[math.exp(v - max(row)) / sum(math.exp(u - max(row)) for u in row) for v in row] for row in rows]


def names(template: str = "a photo of a {}.") -> list[str]:
    return [template.format(name) for name in CLASSES]


def test__zero_shot__plain_loops(model) -> None:
    queries = drawn(6, 40, labeled=False)
    logits = loop_cosine_logits(model.embed_images(queries), model.embed_texts(names()))
    found = clip_zero_shot(model, queries, CLASSES)
    np.testing.assert_allclose(found.proba, softmax(logits), atol=1e-9)
    assert found.labels == [CLASSES[row.index(max(row))] for row in logits]
    assert (found.name, found.classes, found.answers) == ("clip_zero_shot", CLASSES, [])
    assert clip_zero_shot(model, [], CLASSES).labels == []


def test__zero_shot__several_templates__mean_embedding_of_each_class(clip) -> None:
    queries = drawn(4, 40)
    both = np.stack([clip.embed_texts(names()), clip.embed_texts(names("the {} runs"))]).mean(axis=0)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    found = clip_zero_shot(clip, queries, CLASSES, template=["a photo of a {class}.", "the {class} runs"])
    np.testing.assert_allclose(
        found.proba, softmax(loop_cosine_logits(clip.embed_images(queries), both)), atol=1e-9
    )


def test__zero_shot__yes_and_no__stand_for_true_and_false(clip) -> None:
    queries = drawn(4, 40)
    found = clip_zero_shot(clip, queries, [False, True], template="{class}")
    logits = loop_cosine_logits(clip.embed_images(queries), clip.embed_texts(["No", "Yes"]))
    np.testing.assert_allclose(found.proba, softmax(logits), atol=1e-9)
    assert {type(label) for label in found.labels} == {bool}


def test__probe__logistic_regression_on_embeddings(clip) -> None:
    shots, queries = drawn(12, 0), drawn(6, 60)
    labels = [shot.label for shot in shots]
    expected = logistic_probe(clip.embed_images(shots), labels, clip.embed_images(queries))
    found = clip_probe(clip, shots, queries, CLASSES)
    np.testing.assert_array_equal(found.proba, expected.proba)
    assert (found.name, found.labels) == ("clip_probe", [query.label for query in queries])


def gda_logits(features, codes, rows):
    """f P mu^T + b with P = d pinv((N - 1) S + tr(S) I), in loops."""
    n, d, k = len(features), len(features[0]), max(codes) + 1
    means = [
        [
            sum(f[j] for f, c in zip(features, codes, strict=True) if c == one) / codes.count(one)
            for j in range(d)
        ]
        for one in range(k)
    ]
    scatter = np.zeros((d, d))
    for f, c in zip(features, codes, strict=True):
        for i in range(d):
            for j in range(d):
                scatter[i, j] += (f[i] - means[c][i]) * (f[j] - means[c][j])
    trace = sum(scatter[i, i] for i in range(d)) / (n - 1)
    precision = d * np.linalg.pinv(scatter + trace * np.eye(d))
    weights = [precision @ np.array(mean) for mean in means]
    return np.array(
        [
            [float(np.array(f) @ w - np.array(m) @ w / 2) for w, m in zip(weights, means, strict=True)]
            for f in rows
        ]
    )


def test__gda__formula_with_one_of_the_weights(model) -> None:
    shots, queries = drawn(12, 0), drawn(9, 60)
    features, rows = model.embed_images(shots).tolist(), model.embed_images(queries).tolist()
    codes = [CLASSES.index(shot.label) for shot in shots]
    by_names = np.array(loop_cosine_logits(rows, model.embed_texts(names())))
    discriminant = gda_logits(features, codes, rows)
    found = clip_gda(model, shots, queries)
    candidates = [np.array(softmax((by_names + alpha * discriminant).tolist())) for alpha in GDA_ALPHAS]
    assert min(np.abs(found.proba - one).max() for one in candidates) < 1e-7
    assert found.name == "clip_gda"
    assert np.mean([a == q.label for a, q in zip(found.labels, queries, strict=True)]) > 0.8


def test__gda__held_out_shots_decide__weight_against_useless_names(clip) -> None:
    """The names of a random model are useless, so the shots must get a large weight."""
    shots, queries = drawn(15, 0), drawn(12, 60)
    zero_shot = clip_zero_shot(clip, queries, CLASSES).labels
    assert np.mean([a == q.label for a, q in zip(zero_shot, queries, strict=True)]) < 0.7
    for baseline in (clip_gda, clip_tip_adapter):
        found = baseline(clip, shots, queries).labels
        assert np.mean([a == q.label for a, q in zip(found, queries, strict=True)]) > 0.8


def tip_logits(rows, features, codes, by_names, alpha: float, beta: float, left_out: bool = False):
    logits = []
    for place, (f, start) in enumerate(zip(rows, by_names, strict=True)):
        row = list(start)
        for shot, (g, code) in enumerate(zip(features, codes, strict=True)):
            if not (left_out and shot == place):
                row[code] += alpha * math.exp(-beta * (1 - sum(a * b for a, b in zip(f, g, strict=True))))
        logits.append(row)
    return logits


def test__tip_adapter__formula_and_leave_one_out_choice(model) -> None:
    shots, queries = drawn(12, 0), drawn(6, 60)
    features, rows = model.embed_images(shots).tolist(), model.embed_images(queries).tolist()
    codes = [CLASSES.index(shot.label) for shot in shots]
    texts = model.embed_texts(names()).tolist()
    scored = []
    for beta in TIP_BETAS:
        for alpha in TIP_ALPHAS:
            own = tip_logits(
                features, features, codes, loop_cosine_logits(features, texts), alpha, beta, True
            )
            right = sum(row.index(max(row)) == code for row, code in zip(own, codes, strict=True))
            likelihood = sum(math.log(p[code]) for p, code in zip(softmax(own), codes, strict=True))
            scored.append((right, likelihood, alpha, beta))
    _, _, alpha, beta = max(scored, key=lambda one: one[:2])
    expected = tip_logits(rows, features, codes, loop_cosine_logits(rows, texts), alpha, beta)
    found = clip_tip_adapter(model, shots, queries, CLASSES)
    np.testing.assert_allclose(found.proba, softmax(expected), atol=1e-7)
    assert found.name == "clip_tip_adapter"


def test__one_shot_a_class__published_settings(clip) -> None:
    shots, queries = drawn(3, 0), drawn(4, 60)
    features, rows = clip.embed_images(shots).tolist(), clip.embed_images(queries).tolist()
    by_names = loop_cosine_logits(rows, clip.embed_texts(names()))
    found = clip_tip_adapter(clip, shots, queries)
    np.testing.assert_allclose(
        found.proba, softmax(tip_logits(rows, features, [0, 1, 2], by_names, 1.0, 5.5)), atol=1e-7
    )
    assert np.isfinite(clip_gda(clip, shots, queries).proba).all()


def test__example_without_an_image__is_named(clip) -> None:
    shots, bad = drawn(6, 0), example(id="q7")
    for call in (
        lambda: clip_zero_shot(clip, [bad], CLASSES),
        lambda: clip_probe(clip, shots, [bad]),
        lambda: clip_gda(clip, shots, [bad]),
        lambda: clip_tip_adapter(clip, shots, [bad]),
    ):
        with pytest.raises(DataError, match="example q7 has no image"):
            call()
    with pytest.raises(MediaError, match="broken: "):
        clip_zero_shot(clip, [example(Image(b"no image"), id="broken")], CLASSES)


def test__classes_and_templates__unusable__one_line(clip) -> None:
    shots = drawn(6, 0)
    with pytest.raises(DataError, match="the class 'fish' has no shot"):
        clip_gda(clip, shots, shots, [*CLASSES, "fish"])
    with pytest.raises(DataError, match="the class 'dog' is not among the classes"):
        clip_tip_adapter(clip, shots, shots, CLASSES[:2])
    with pytest.raises(DataError, match="place of the class name"):
        clip_zero_shot(clip, shots, CLASSES, template="a photo")
    with pytest.raises(DataError, match="at least two classes"):
        clip_zero_shot(clip, shots, ["cat", "cat"])
    with pytest.raises(DataError, match="has no label"):
        clip_gda(clip, [*shots, example(picture(0))], shots)


def test__load__not_an_image_text_model__says_so(tmp_path) -> None:
    from transformers import BertConfig, BertModel

    tiny = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=9, **tiny)).save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match="bert has no encoders of images and of texts"):
        ImageTextModel.load(tmp_path)
    with pytest.raises(BackboneError):
        ImageTextModel.load(tmp_path / "nothing-there")


def test__load__weights_missing__is_no_random_model(image_text_folders, tmp_path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(image_text_folders["clip"], tmp_path / "part")
    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BackboneError, match="1 weights are missing"):
        ImageTextModel.load(folder)
