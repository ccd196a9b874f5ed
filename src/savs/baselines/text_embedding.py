"""Embeddings of sentence-transformers with a nearest centroid or a logistic regression, and SetFit.

Any model of that library will do: a folder, a hub id, or one that is loaded. Models of texts alone read only
the texts of an example; models that take images too read both.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs._optional import import_optional
from savs.backbones.loading import quiet
from savs.baselines._contents import coded_labels, images_of, named, words_of
from savs.baselines.on_features import BaselineResult, last_layer, logistic_probe
from savs.classifiers._support_set import unit_vectors
from savs.data import Example, Label, example_hash
from savs.errors import BackboneError, DataError

__all__ = ["EmbeddingModel", "embedding_centroid", "embedding_logistic", "setfit"]

_Rows = NDArray[np.float64]


class EmbeddingModel:
    """A model of sentence-transformers, which embeds examples.

    Parameters
    ----------
    model : sentence_transformers.SentenceTransformer
        Loaded; never changed.
    batch_size : int, default=32
        Inputs per forward pass.
    """

    def __init__(self, model: Any, *, batch_size: int = 32) -> None:
        self.model = model
        self.batch_size = batch_size
        self._known: dict[str, _Rows] = {}

    @classmethod
    def load(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        device: str | None = None,
        batch_size: int = 32,
    ) -> EmbeddingModel:
        """Load a model; code from its repository never runs.

        Parameters
        ----------
        name_or_path : str or Path
            A folder (nothing is downloaded then), or a hub id such as
            ``"sentence-transformers/all-MiniLM-L6-v2"``.
        revision : str, optional
            Branch, tag or commit on the hub.
        device : str, optional
            By default the first accelerator, else the CPU.
        batch_size : int, default=32
            Inputs per forward pass.

        Raises
        ------
        MissingDependencyError
            If sentence-transformers is not installed.
        BackboneError
            If the model cannot be loaded.
        """
        package = import_optional("sentence_transformers")
        name = os.fspath(name_or_path)
        try:
            with quiet():
                model = package.SentenceTransformer(
                    name,
                    device=device,
                    revision=revision,
                    trust_remote_code=False,
                    local_files_only=Path(name).is_dir(),
                )
        except Exception as error:  # the hub client, transformers and torch each have errors of their own
            raise BackboneError(
                f"{name}: cannot be loaded as a model of sentence-transformers ({type(error).__name__}); "
                "name a folder or a hub id of one that needs no code of its own"
            ) from error
        return cls(model.eval(), batch_size=batch_size)

    @property
    def takes_images(self) -> bool:
        """Whether the model embeds images too."""
        return bool(self.model.supports("image"))

    def embed(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """Return one embedding of length 1 per example.

        Of an example with words and one image, the embedding of both together, where the model can read them
        so; else the mean of the embeddings of length 1 of its words and of each image, scaled to length 1
        again. Examples that were embedded before are not computed again.

        Parameters
        ----------
        examples : sequence of Example
            Their texts, and their images if the model takes images.

        Returns
        -------
        ndarray of float64, shape (n_examples, dim)
            The embeddings.

        Raises
        ------
        DataError
            If an example has nothing that the model reads, with its id.
        MediaError
            If an image cannot be read, with the example's id.
        """
        for place, example in enumerate(examples):
            if not words_of(example).strip() and not (self.takes_images and example.images):
                what = "neither words nor an image" if self.takes_images else "no words"
                raise DataError(f"{named(example, place)} has {what}; the embedding model needs some")
        keys = [example_hash(example) for example in examples]
        new = {key: example for key, example in zip(keys, examples, strict=True) if key not in self._known}
        if new:
            inputs = [self._inputs(example) for example in new.values()]
            vectors = self._encode([one for some in inputs for one in some])
            ends = np.cumsum([len(some) for some in inputs])
            for key, rows in zip(new, np.split(vectors, ends[:-1]), strict=True):
                self._known[key] = unit_vectors(rows.mean(axis=0))
        return np.stack([self._known[key] for key in keys]) if keys else np.empty((0, self.width))

    @property
    def width(self) -> int:
        """Number of columns of an embedding."""
        return int(self.model.get_embedding_dimension())

    def _inputs(self, example: Example) -> list[Any]:
        """Return what stands for an example, as sentence-transformers takes it."""
        words = words_of(example)
        if not self.takes_images:
            return [words]
        images = images_of(example)
        if words.strip() and len(images) == 1 and self.model.supports(("image", "text")):
            return [{"text": words, "image": images[0]}]
        # Never a bare text: that of an address would be taken for the image there, and fetched.
        texts = [{"text": words}] if words.strip() else []
        return [*texts, *({"image": image} for image in images)]

    def _encode(self, inputs: Sequence[Any]) -> _Rows:
        """Return an embedding of length 1 for each input; a call of the library takes one kind of them."""
        kinds = [tuple(one) if isinstance(one, dict) else () for one in inputs]
        vectors = np.empty((len(inputs), self.width))
        for kind in dict.fromkeys(kinds):
            places = [place for place, other in enumerate(kinds) if other == kind]
            vectors[places] = self.model.encode(
                [inputs[place] for place in places], batch_size=self.batch_size, show_progress_bar=False
            )
        return unit_vectors(vectors)


Model = str | os.PathLike[str] | EmbeddingModel | Any
"""A folder, a hub id, an `EmbeddingModel`, or a loaded ``SentenceTransformer``."""


def _opened(model: Model) -> EmbeddingModel:
    if isinstance(model, EmbeddingModel):
        return model
    if isinstance(model, str | os.PathLike):
        return EmbeddingModel.load(model)
    if not callable(getattr(model, "encode", None)):
        kind = type(model).__name__
        raise BackboneError(f"an embedding model is a name, a folder or a SentenceTransformer, not {kind}")
    return EmbeddingModel(model)


def embedding_centroid(model: Model, shots: Sequence[Example], queries: Sequence[Example]) -> BaselineResult:
    """Predict the class whose mean embedding has the largest cosine with that of the query.

    Parameters
    ----------
    model : str, Path, EmbeddingModel or sentence_transformers.SentenceTransformer
        A folder, a hub id or a loaded model. An `EmbeddingModel` embeds examples once for several calls.
    shots, queries : sequence of Example
        Their texts, and their images if the model takes images.

    Raises
    ------
    MissingDependencyError
        If sentence-transformers is not installed.
    BackboneError
        If the model cannot be loaded.
    DataError
        If a shot has no label, there are fewer than two classes, or an example has nothing that the model
        reads.
    MediaError
        If an image cannot be read, with the example's id.
    """
    classes, codes = coded_labels(shots)
    encoder = _opened(model)
    found = last_layer(encoder.embed(shots), [classes[code] for code in codes], encoder.embed(queries))
    return replace(found, name="embedding_centroid")


def embedding_logistic(model: Model, shots: Sequence[Example], queries: Sequence[Example]) -> BaselineResult:
    """Predict with a logistic regression on embeddings, its strength chosen as by `logistic_probe`.

    Parameters
    ----------
    model : str, Path, EmbeddingModel or sentence_transformers.SentenceTransformer
        As for `embedding_centroid`.
    shots, queries : sequence of Example
        Their texts, and their images if the model takes images.

    Returns
    -------
    BaselineResult
        With `proba`.

    Raises
    ------
    MissingDependencyError, BackboneError, DataError, MediaError
        As `embedding_centroid`.
    """
    classes, codes = coded_labels(shots)
    encoder = _opened(model)
    found = logistic_probe(encoder.embed(shots), [classes[code] for code in codes], encoder.embed(queries))
    return replace(found, name="embedding_logistic")


def setfit(
    model: Model,
    shots: Sequence[Example],
    queries: Sequence[Example],
    *,
    seed: int = 0,
    num_epochs: int = 1,
    max_steps: int = -1,
    batch_size: int = 16,
) -> BaselineResult:
    """Predict with SetFit: a text encoder tuned on pairs of shots, then a logistic regression.

    The package setfit with its own settings: pairs of the same class and of different ones, cosine loss, one
    epoch. Global random states are as before afterwards, and so is a loaded model: a copy of it is tuned.

    Parameters
    ----------
    model : str, Path, EmbeddingModel or sentence_transformers.SentenceTransformer
        A model of texts alone; as for `embedding_centroid`.
    shots, queries : sequence of Example
        Only their texts are read.
    seed : int, default=0
        Of the training.
    num_epochs : int, default=1
        How often all pairs are seen.
    max_steps : int, default=-1
        Most training steps; -1 for no limit. The number of pairs grows with the square of that of the shots.
        With a limit, `num_epochs` may not be reached.
    batch_size : int, default=16
        Pairs per step.

    Returns
    -------
    BaselineResult
        With `proba`.

    Raises
    ------
    MissingDependencyError
        If setfit or sentence-transformers is not installed.
    BackboneError
        If the model cannot be loaded.
    DataError
        If the model is not one of texts alone, an example has no words, a shot has no label, or there are
        fewer than two classes.

    References
    ----------
    Tunstall et al., "Efficient Few-Shot Learning Without Prompts", arXiv 2209.11055.
    """
    package = import_optional("setfit")
    from datasets import Dataset
    from sklearn.linear_model import LogisticRegression
    from transformers import PrinterCallback, ProgressCallback

    classes, codes = coded_labels(shots)
    texts = [_words(example, place) for place, example in enumerate(shots)]
    asked = [_words(example, place) for place, example in enumerate(queries)]
    encoder = _opened(model)
    if list(encoder.model.modalities) != ["text"]:
        raise DataError("SetFit is for texts: choose a model that takes nothing else")
    # The package takes this number for what is to be reached: pairs would be seen more often than asked for.
    steps = min(max_steps, num_epochs * _n_steps(codes, batch_size)) if max_steps > 0 else -1
    with _random_states_kept(), _silent(package), tempfile.TemporaryDirectory() as folder:
        # Not SetFitModel.from_pretrained: it would open a classifier in the folder, which is a pickle.
        tuned = package.SetFitModel(copy.deepcopy(encoder.model), LogisticRegression(max_iter=1000))
        arguments = package.TrainingArguments(
            output_dir=folder,
            batch_size=batch_size,
            num_epochs=num_epochs,
            max_steps=steps,
            seed=seed,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            logging_first_step=False,
            show_progress_bar=False,
        )
        dataset = Dataset.from_dict({"text": texts, "label": codes.tolist()})
        trainer = package.Trainer(model=tuned, args=arguments, train_dataset=dataset)
        for callback in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(callback)
        trainer.st_trainer.args.dataloader_pin_memory = False
        trainer.train()
        proba = np.empty((0, len(classes)))
        if asked:
            proba = np.asarray(tuned.predict_proba(asked, as_numpy=True, show_progress_bar=False), np.float64)
    labels: list[Label | None] = [classes[code] for code in proba.argmax(axis=1).tolist()]
    return BaselineResult("setfit", labels, [], proba, classes)


def _words(example: Example, place: int) -> str:
    words = words_of(example)
    if not words.strip():
        raise DataError(f"{named(example, place)} has no words; SetFit needs some")
    return words


@contextmanager
def _random_states_kept() -> Iterator[None]:
    import random

    import torch

    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _n_steps(codes: NDArray[np.intp], batch_size: int) -> int:
    """Return the training steps of one epoch: pairs of one class and of two, the fewer ones repeated."""
    counts, n_shots = np.bincount(codes), len(codes)
    alike = int((counts * (counts + 1) // 2).sum())
    return -(-2 * max(alike, n_shots * (n_shots + 1) // 2 - alike) // batch_size)


@contextmanager
def _silent(package: Any) -> Iterator[None]:
    """Silence what setfit and datasets print, and leave their settings as they were."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    level, hidden = package.logging.get_verbosity(), are_progress_bars_disabled()
    package.logging.set_verbosity_error()
    disable_progress_bars()
    try:
        with quiet():
            yield
    finally:
        package.logging.set_verbosity(level)
        if not hidden:
            enable_progress_bars()
