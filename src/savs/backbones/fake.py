"""`FakeBackbone`: a deterministic stand-in without a model, for the tests of savs and of its users."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from savs.backbones.base import Extraction, JSONValue
from savs.backbones.option_likelihood import OptionLogLikelihood, check_options
from savs.data import Example, Results, Text
from savs.errors import BackboneError, ExampleError, ItemError
from savs.layout import Head, HeadLayout
from savs.media import Audio, Video
from savs.media._bit_depth import levels_checked
from savs.media._hashes import image_hash, part_hash
from savs.media.audio import decode_audio
from savs.media.image import decode_image
from savs.media.video import decode_video

__all__ = ["FakeBackbone"]


class FakeBackbone:
    """Head vectors drawn from the sha256 of an example's content: equal content, equal vectors, everywhere.

    Images are opened by the same guarded loader as with a real backbone, so bad ones give the same errors.

    Parameters
    ----------
    layout : HeadLayout, optional
        By default 4 layers of 4 heads, 8 wide.
    seed : int, default=0
        Another seed is another backbone, with another fingerprint.
    answers : sequence of str, default=("yes", "no")
        `generate` picks one by the content.

    Attributes
    ----------
    n_forward : int
        Examples that passed through so far, to prove how often a caller runs the model.

    Examples
    --------
    >>> from savs.data import Example, Message, Text
    >>> backbone = FakeBackbone()
    >>> example = Example((Message("user", (Text("red"),)),), id="a")
    >>> backbone.extract([example, example]).features.shape, backbone.n_forward
    ((2, 128), 2)
    """

    def __init__(
        self, layout: HeadLayout | None = None, seed: int = 0, answers: Sequence[str] = ("yes", "no")
    ) -> None:
        self._layout = layout if layout is not None else HeadLayout.uniform(4, 4, 8)
        self.seed = seed
        self.answers = tuple(answers)
        self.n_forward = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._layout!r}, seed={self.seed})"

    @property
    def layout(self) -> HeadLayout:
        """The heads of a full feature row."""
        return self._layout

    @property
    def fingerprint(self) -> Mapping[str, JSONValue]:
        """All entries of a real backbone's fingerprint."""
        identity = hashlib.sha256(f"{self.seed} {self._layout.to_json()}".encode()).hexdigest()
        return {
            "source": "fake",
            "revision": None,
            "commit": None,
            "model_class": "FakeBackbone",
            "config_digest": identity,
            "weights_digest": identity,
            "processor_class": "FakeProcessor",
            "processor_digest": identity,
            "processor_backend": "pil",
            "dtype": "float32",
            "attn_implementation": None,
            "layers": self._layout.n_layers,
            "gated": False,
            "versions": {"numpy": np.__version__},
        }

    @property
    def modalities(self) -> frozenset[str]:
        """``{"text", "image"}``."""
        return frozenset({"text", "image"})

    def in_mode(self, batch_size: int | Literal["auto"], *, prefix_reuse: bool) -> FakeBackbone:  # noqa: ARG002
        """Return another backbone with the same vectors, which counts its examples anew.

        Parameters
        ----------
        batch_size, prefix_reuse
            Ignored.
        """
        other = copy.copy(self)
        other.n_forward = 0
        return other

    @levels_checked()
    def extract(
        self,
        examples: Sequence[Example],
        heads: Sequence[Head] | None = None,
        *,
        max_errors: int = 0,
        progress: bool = False,  # noqa: ARG002 - part of the protocol
        states: bool = False,
    ) -> Extraction:
        """Return one row per example that can be read, computed from a hash of its content.

        Parameters
        ----------
        examples : sequence of Example
            Labels are not read.
        heads : sequence of Head, optional
            The heads to return, in this order; all heads of `layout` by default.
        max_errors : int, default=0
            How many examples may fail before an error is raised; -1 means any number.
        progress : bool, default=False
            Ignored.
        states : bool, default=False
            Also return the decoder's final hidden states.

        Returns
        -------
        Extraction
            ``features`` is float32 of shape (n_ok, width), one row per example that could be read. The width
            is that of ``layout.select(heads)``. ``states`` has 16 columns.

        Raises
        ------
        ItemError
            When more than `max_errors` examples cannot be read.
        """
        columns = self._columns(heads)
        results: Results[NDArray[np.float32]] = Results(examples, max_errors)
        for index, example in enumerate(examples):
            try:
                results.put(index, self._vector(example, "heads", self._layout.width)[columns])
                self.n_forward += 1
            except ItemError as error:
                results.put(index, error)
        rows = results.values
        features = np.stack(list(rows.values())) if rows else np.empty((0, len(columns)), np.float32)
        final = self._states([examples[index] for index in rows]) if states else None
        indices = np.asarray(list(rows), dtype=np.intp)
        return Extraction(features, indices, list(results.errors.values()), final)

    def last_layer_states(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """Return states of 16 columns, shape (n_examples, 16)."""
        states = self._states(examples)
        self.n_forward += len(states)
        return states

    def _states(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        rows = [self._vector(example, "state", 16) for example in examples]
        return np.stack(rows) if rows else np.empty((0, 16), np.float32)

    def generate(self, examples: Sequence[Example], *, max_new_tokens: int = 16) -> list[str]:
        """Return one of `answers` for each example, chosen by the example's content.

        Parameters
        ----------
        examples : sequence of Example
            Labels are not read.
        max_new_tokens : int, default=16
            Largest number of words in an answer; the rest is cut off.

        Returns
        -------
        list of str
            One answer per example, in the order of the examples.

        Raises
        ------
        ItemError
            For the first example that cannot be read.
        """
        self.n_forward += len(examples)
        picks = [int(self._vector(e, "answer", 1).view(np.uint32)[0]) % len(self.answers) for e in examples]
        return [" ".join(self.answers[pick].split()[:max_new_tokens]) for pick in picks]

    def option_log_likelihood(
        self,
        examples: Sequence[Example],
        options: Sequence[str],
        *,
        max_errors: int = 0,
        progress: bool = False,  # noqa: ARG002 - part of the protocol
    ) -> OptionLogLikelihood:
        """Return log likelihoods drawn from a hash of an example's content and an option, a word a token.

        Parameters
        ----------
        examples : sequence of Example
            Labels are not read.
        options : sequence of str
            The answers, each once.
        max_errors : int, default=0
            How many examples may fail before an error is raised; -1 means any number.
        progress : bool, default=False
            Ignored.

        Raises
        ------
        DataError
            If the options cannot be used.
        ItemError
            When more than `max_errors` examples cannot be read.
        """
        asked = check_options(options)
        results: Results[NDArray[np.float64]] = Results(examples, max_errors)
        for index, example in enumerate(examples):
            try:
                drawn = [float(self._vector(example, f"option {option}", 1)[0]) for option in asked]
                results.put(index, -np.exp(np.array(drawn)))
                self.n_forward += 1
            except ItemError as error:
                results.put(index, error)
        rows = results.values
        return OptionLogLikelihood(
            np.array(list(rows.values()), np.float64).reshape(len(rows), len(asked)),
            np.tile(np.array([len(option.split()) for option in asked], np.intp), (len(rows), 1)),
            np.asarray(list(rows), dtype=np.intp),
            list(results.errors.values()),
        )

    def _columns(self, heads: Sequence[Head] | None) -> NDArray[np.intp]:
        try:
            return self._layout.column_indices(self._layout.heads if heads is None else heads)
        except KeyError as error:
            raise BackboneError(f"this backbone has no head {tuple(error.args[0])}") from None
        except ValueError as error:
            raise BackboneError(f"the wanted heads cannot be used: {error}") from None

    def _vector(self, example: Example, purpose: str, width: int) -> NDArray[np.float32]:
        content = "\n".join(_content(example))
        key = hashlib.sha256(f"{self.seed}\n{purpose}\n{content}".encode("utf-8", "surrogatepass")).digest()
        return np.random.default_rng(list(key)).standard_normal(width, dtype=np.float32)


def _content(example: Example) -> Iterator[str]:
    """Yield roles, texts and image digests in order; never ids, labels or Python hashes."""
    if not example.parts:
        raise ExampleError("it has neither text nor images", code="empty_example", id=example.id)
    for message in example.messages:
        yield f"role {message.role}"
        for part in message.parts:
            if isinstance(part, Text):
                yield f"text {len(part.text)} {part.text}"
            elif isinstance(part, Video):
                decode_video(part.source, part.n_frames, fps=part.fps)
                yield f"video {part.sampling} {part_hash(part)}{part.pixel_limits_key}"
            elif isinstance(part, Audio):
                decode_audio(part, 16_000)
                yield f"audio clip {part_hash(part)}"
            else:
                decode_image(part.source, bit_depth=part.bit_depth)
                yield f"image {image_hash(part)}"
