"""Models that put images and texts into one space (CLIP, SigLIP, SigLIP 2), zero-shot and with shots.

Notation of the formulas: f is the embedding of an image, W holds those of the class names, both of length 1.
The factor 100 is the scale of CLIP's logits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones._checkpoints import load_config, load_model
from savs.backbones._model_files import hub_place, local_place
from savs.backbones._processors import load_processor
from savs.backbones._torchvision import set_aside_broken_torchvision
from savs.backbones.loading import pick_device, quiet
from savs.baselines._contents import coded_labels, images_of, named
from savs.baselines.on_features import BaselineResult, logistic_probe
from savs.classifiers._probabilities import log_softmax
from savs.classifiers._support_set import Shots, unit_vectors
from savs.classifiers.gaussian_rule import GaussianRule
from savs.data import Example, Label, check_labels, example_hash
from savs.errors import BackboneError, DataError
from savs.layout import HeadLayout
from savs.model._class_names import option_texts

if TYPE_CHECKING:
    import torch

__all__ = [
    "DEFAULT_TEMPLATE",
    "ImageTextModel",
    "clip_gda",
    "clip_probe",
    "clip_tip_adapter",
    "clip_zero_shot",
]

DEFAULT_TEMPLATE = "a photo of a {class}."
"""What is said of a class, with its name in the place of ``{class}``."""

_SCALE = 100.0

_Rows = NDArray[np.float64]


# The model: two encoders and a processor, all of transformers.


class ImageTextModel:
    """A model with one encoder for images and one for texts, as transformers has it.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        With ``get_image_features`` and ``get_text_features``; in evaluation mode during each call, as before
        after it.
    processor : transformers processor
        With an image processor and a tokenizer.
    batch_size : int, default=32
        Images or texts per forward pass.

    Raises
    ------
    BackboneError
        If the model does not have both encoders.
    """

    def __init__(self, model: Any, processor: Any, *, batch_size: int = 32) -> None:
        _check_encoders(model)
        if not hasattr(processor, "image_processor"):
            raise BackboneError(f"the processor of {model.config.model_type} takes no images")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.model = model
        self.processor = processor
        self.batch_size = batch_size
        self._images: dict[str, _Rows] = {}

    @classmethod
    def load(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        batch_size: int = 32,
    ) -> ImageTextModel:
        """Load a model in float32 with its processor.

        Parameters
        ----------
        name_or_path : str or Path
            A folder in hub layout (nothing is downloaded then), or a hub id such as
            ``"openai/clip-vit-base-patch32"`` or ``"google/siglip2-base-patch16-224"``.
        revision : str, optional
            Branch, tag or commit on the hub; a folder has none.
        device : str or torch.device, optional
            By default the first accelerator (CUDA), else the CPU.
        batch_size : int, default=32
            Images or texts per forward pass.

        Raises
        ------
        BackboneError
            In one line: what is missing, unsupported or broken, and what to do.
        """
        import torch
        from transformers import AutoModel

        set_aside_broken_torchvision()
        place = local_place(name_or_path)
        if place is None:
            place = hub_place(os.fspath(name_or_path), revision)
        with quiet():
            config = load_config(place)
            model = load_model(place, config, {"dtype": torch.float32}, None, auto_class=AutoModel)
            _check_encoders(model, f"{place.source}: ")
            processor = load_processor(place, config)
        return cls(model.to(pick_device(device)).eval(), processor, batch_size=batch_size)

    def embed_images(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """Return one embedding of length 1 per example.

        Several images of one example, and the frames of a video, are embedded one by one; the mean of their
        embeddings of length 1 is scaled to length 1 again. Examples that were embedded before are not
        computed again.

        Parameters
        ----------
        examples : sequence of Example
            Only their images are read.

        Returns
        -------
        ndarray of float64, shape (n_examples, dim)
            The embeddings.

        Raises
        ------
        DataError
            If an example has no image, with its id.
        MediaError
            If an image cannot be read, with the example's id.
        """
        for place, example in enumerate(examples):
            if not example.images:
                raise DataError(f"{named(example, place)} has no image; an image-text model needs one")
        keys = [example_hash(example) for example in examples]
        new = {key: example for key, example in zip(keys, examples, strict=True) if key not in self._images}
        sums: dict[str, _Rows] = {}
        pictures = ((key, image) for key, example in new.items() for image in images_of(example))
        for batch in _batches(pictures, self.batch_size):
            vectors = self._encode_images([image for _, image in batch])
            for (key, _), vector in zip(batch, vectors, strict=True):
                sums[key] = sums.get(key, 0.0) + vector
        self._images |= {key: unit_vectors(total) for key, total in sums.items()}
        return np.stack([self._images[key] for key in keys]) if keys else np.empty((0, self.width))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return one embedding of length 1 per text.

        Texts are filled up to the longest one that the model takes, as SigLIP needs it, so that a text has
        the same embedding in any batch; longer ones are cut.

        Parameters
        ----------
        texts : sequence of str
            At least one.

        Returns
        -------
        ndarray of float64, shape (n_texts, dim)
            The embeddings.
        """
        tokenizer = self.processor.tokenizer
        longest = min(self.model.config.get_text_config().max_position_embeddings, tokenizer.model_max_length)
        found = []
        for batch in _batches(texts, self.batch_size):
            inputs = tokenizer(
                batch, padding="max_length", truncation=True, max_length=longest, return_tensors="pt"
            )
            found.append(self._run(self.model.get_text_features, inputs))
        return np.concatenate(found)

    @cached_property
    def width(self) -> int:
        """Number of columns of an embedding."""
        return int(self.embed_texts([""]).shape[1])

    def _encode_images(self, images: Sequence[Any]) -> _Rows:
        # Not through the processor as a whole: SigLIP 2's puts sizes of its own above those of the folder.
        inputs = self.processor.image_processor(images=list(images), return_tensors="pt")
        return self._run(self.model.get_image_features, inputs)

    def _run(self, encode: Callable[..., Any], inputs: Any) -> _Rows:
        import torch

        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                output = encode(**inputs.to(self.model.device)).pooler_output
        finally:
            self.model.train(training)
        return unit_vectors(output.double().cpu().numpy())


def _check_encoders(model: Any, where: str = "") -> None:
    if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
        kind = model.config.model_type
        raise BackboneError(
            f"{where}{kind} has no encoders of images and of texts; use a model such as CLIP or SigLIP"
        )


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _class_embeddings(
    model: ImageTextModel, classes: Sequence[Label], template: str | Sequence[str]
) -> _Rows:
    """Return W, (n_classes, dim): of several templates the mean of the embeddings, scaled to length 1."""
    templates = [template] if isinstance(template, str) else list(template)
    if not templates or any("{class}" not in one for one in templates):
        raise DataError("a template needs the place of the class name, such as 'a photo of a {class}.'")
    names = option_texts(classes)
    texts = [one.replace("{class}", name) for name in names for one in templates]
    embeddings = model.embed_texts(texts)
    return unit_vectors(embeddings.reshape(len(names), len(templates), -1).mean(axis=1))


def _result(name: str, logits: _Rows, classes: Sequence[Label]) -> BaselineResult:
    labels: list[Label | None] = [classes[code] for code in logits.argmax(axis=1).tolist()]
    return BaselineResult(name, labels, [], np.exp(log_softmax(logits)), list(classes))


# Zero-shot: the class whose name is nearest.


def clip_zero_shot(
    model: ImageTextModel,
    queries: Sequence[Example],
    classes: Sequence[Label],
    *,
    template: str | Sequence[str] = DEFAULT_TEMPLATE,
) -> BaselineResult:
    """Predict the class whose name, in a sentence, is nearest to the image, without any shot.

    Logits are ``100 f W`` (Radford et al., arXiv 2103.00020, section 3.1). Of several templates, the mean of
    a class's embeddings is taken (section 3.1.4).

    Parameters
    ----------
    model : ImageTextModel
        The two encoders.
    queries : sequence of Example
        Only their images are read.
    classes : sequence of label
        The classes to choose from, each once; True and False are called Yes and No.
    template : str or sequence of str
        One sentence or several, with ``{class}`` where the name stands.

    Returns
    -------
    BaselineResult
        With `proba`, in the order of `classes`.

    Raises
    ------
    DataError
        If there are fewer than two classes, a template has no place for the name, or a query has no image.
    MediaError
        If an image cannot be read, with the example's id.
    """
    check_labels(classes)
    if len(set(classes)) < max(len(classes), 2):
        raise DataError(f"at least two classes are needed, each once, got {len(classes)}")
    texts = _class_embeddings(model, classes, template)
    return _result("clip_zero_shot", _text_logits(model.embed_images(queries), texts), classes)


def _text_logits(images: _Rows, texts: _Rows) -> _Rows:
    return np.asarray(_SCALE * images @ texts.T)


# With shots.


def clip_probe(
    model: ImageTextModel,
    shots: Sequence[Example],
    queries: Sequence[Example],
    classes: Sequence[Label] | None = None,
) -> BaselineResult:
    """Predict with a logistic regression on the images' embeddings, as `logistic_probe`.

    Parameters
    ----------
    model : ImageTextModel
        The two encoders; only that of images is used.
    shots, queries : sequence of Example
        Only their images are read.
    classes : sequence of label, optional
        The classes of the shots, as a check.

    Returns
    -------
    BaselineResult
        With `proba`.

    Raises
    ------
    DataError
        If a shot has no label, there are fewer than two classes, `classes` are others, or an example has no
        image.
    MediaError
        If an image cannot be read, with the example's id.
    """
    names, codes = _coded(shots, classes)
    found = logistic_probe(
        model.embed_images(shots), [names[code] for code in codes], model.embed_images(queries)
    )
    return replace(found, name="clip_probe")


GDA_ALPHAS = tuple(10.0**exponent for exponent in range(-4, 5))
"""Weights of the Gaussian discriminant that are tried."""

_FOLDS = 5


def clip_gda(
    model: ImageTextModel,
    shots: Sequence[Example],
    queries: Sequence[Example],
    classes: Sequence[Label] | None = None,
    *,
    template: str | Sequence[str] = DEFAULT_TEMPLATE,
) -> BaselineResult:
    """Predict with a Gaussian discriminant on the images' embeddings next to the class names (GDA-CLIP).

    Logits are ``100 f W + alpha (f P mu^T + b)`` with the class means mu, ``b = -mu P mu^T / 2`` and the
    precision ``P = d pinv((N - 1) S + tr(S) I)`` of the pooled covariance S, d the width. alpha is the one of
    `GDA_ALPHAS` that gets most held-out shots right, in as many folds as the smallest class has shots, five
    at most; the smaller log loss decides where several do. It is 1 where a class has a single shot.

    Parameters
    ----------
    model : ImageTextModel
        The two encoders.
    shots, queries : sequence of Example
        Only their images are read.
    classes : sequence of label, optional
        The classes of the shots, as a check.
    template : str or sequence of str
        As for `clip_zero_shot`.

    Returns
    -------
    BaselineResult
        With `proba`.

    Raises
    ------
    DataError
        As `clip_probe`, or if a template has no place for the name.
    MediaError
        If an image cannot be read, with the example's id.

    References
    ----------
    Wang et al., "A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation", ICLR 2024.
    """
    names, codes = _coded(shots, classes)
    texts, features = _class_embeddings(model, names, template), model.embed_images(shots)
    alpha = _gda_alpha(features, codes, texts)
    rows = model.embed_images(queries)
    logits = _text_logits(rows, texts) + alpha * _discriminant(features, codes, rows)
    return _result("clip_gda", logits, names)


def _discriminant(features: _Rows, codes: NDArray[np.intp], rows: _Rows) -> _Rows:
    """Return ``f P mu^T + b`` of rows, (n_rows, n_classes)."""
    shots = Shots(features, codes, int(codes.max()) + 1, HeadLayout.uniform(1, 1, features.shape[1]))
    rule = GaussianRule(covariance="ridge", ridge=1.0)
    return np.asarray(rule.scores(rows[None], rule.fit(features[None], shots), codes)[0], dtype=np.float64)


def _gda_alpha(features: _Rows, codes: NDArray[np.intp], texts: _Rows) -> float:
    from sklearn.model_selection import StratifiedKFold

    n_folds = min(_FOLDS, int(np.bincount(codes).min()))
    if n_folds < 2:
        return 1.0
    discriminants = np.empty((len(codes), len(texts)))
    for rest, held_out in StratifiedKFold(n_folds, shuffle=True, random_state=0).split(features, codes):
        discriminants[held_out] = _discriminant(features[rest], codes[rest], features[held_out])
    by_names = _text_logits(features, texts)
    return GDA_ALPHAS[_best((by_names + alpha * discriminants for alpha in GDA_ALPHAS), codes)]


def _best(candidates: Iterable[_Rows], codes: NDArray[np.intp]) -> int:
    """Return which logits get most shots right; among those, the smallest log loss; then the first."""
    scores = []
    for logits in candidates:
        right = int((logits.argmax(axis=1) == codes).sum())
        scores.append((right, float(log_softmax(logits)[np.arange(len(codes)), codes].sum())))
    return scores.index(max(scores))


TIP_ALPHAS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Weights of the cache that are tried."""

TIP_BETAS = (1.0, 2.0, 3.5, 5.5, 8.0, 12.0)
"""Sharpnesses of the cache that are tried."""

_TIP_DEFAULT = (1.0, 5.5)


def clip_tip_adapter(
    model: ImageTextModel,
    shots: Sequence[Example],
    queries: Sequence[Example],
    classes: Sequence[Label] | None = None,
    *,
    template: str | Sequence[str] = DEFAULT_TEMPLATE,
) -> BaselineResult:
    """Predict with the shots as a cache next to the class names (Tip-Adapter, without training).

    Logits are ``100 f W + alpha exp(-beta (1 - f F^T)) L``, with the embeddings F of the shots and their
    labels L as rows of 0 and 1. alpha and beta are those of `TIP_ALPHAS` and `TIP_BETAS` that get most shots
    right when each is left out of the cache; the smaller log loss decides where several do. They are 1 and
    5.5, as published, where a class has a single shot: left out, it would leave its class without any.

    Parameters
    ----------
    model : ImageTextModel
        The two encoders.
    shots, queries : sequence of Example
        Only their images are read.
    classes : sequence of label, optional
        The classes of the shots, as a check.
    template : str or sequence of str
        As for `clip_zero_shot`.

    Returns
    -------
    BaselineResult
        With `proba`.

    Raises
    ------
    DataError
        As `clip_probe`, or if a template has no place for the name.
    MediaError
        If an image cannot be read, with the example's id.

    References
    ----------
    Zhang et al., "Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification", ECCV 2022, eq. 5.
    """
    names, codes = _coded(shots, classes)
    texts, features = _class_embeddings(model, names, template), model.embed_images(shots)
    alpha, beta = _tip_settings(features, codes, texts)
    rows = model.embed_images(queries)
    logits = _text_logits(rows, texts) + alpha * _affinities(rows, features, beta) @ np.eye(len(names))[codes]
    return _result("clip_tip_adapter", logits, names)


def _affinities(rows: _Rows, features: _Rows, beta: float) -> _Rows:
    return np.asarray(np.exp(-beta * (1 - rows @ features.T)))


def _tip_settings(features: _Rows, codes: NDArray[np.intp], texts: _Rows) -> tuple[float, float]:
    if np.bincount(codes).min() < 2:
        return _TIP_DEFAULT
    pairs = [(alpha, beta) for beta in TIP_BETAS for alpha in TIP_ALPHAS]
    by_names, one_hot = _text_logits(features, texts), np.eye(len(texts))[codes]

    def logits() -> Iterator[_Rows]:
        for alpha, beta in pairs:
            others = _affinities(features, features, beta)
            np.fill_diagonal(others, 0.0)
            yield by_names + alpha * others @ one_hot

    return pairs[_best(logits(), codes)]


def _coded(shots: Sequence[Example], classes: Sequence[Label] | None) -> tuple[list[Label], NDArray[np.intp]]:
    names, codes = coded_labels(shots)
    if classes is not None and (other := set(classes) ^ set(names)):
        what = "has no shot" if (one := sorted(other, key=str)[0]) in classes else "is not among the classes"
        raise DataError(f"the class {one!r} {what}; name the classes of the shots")
    return names, codes
