"""`TransformersBackbone`: any transformers model with attention heads, read and never changed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from savs._progress import progress_bar
from savs.backbones._attention_sites import Anatomy, find_sites
from savs.backbones._batching import Batch, BatchEncoder
from savs.backbones._by_reference import Reference, reference_to
from savs.backbones._checkpoints import unwrapped
from savs.backbones._early_exit import EarlyReading, Narrowing
from savs.backbones._fingerprint import config_state, fingerprint, processor_state, state
from savs.backbones._forward import accepted_inputs, frozen, generate_answers, input_device
from savs.backbones._known_faults import refuse_known_faults
from savs.backbones._memory import BatchSize, check_batch_size
from savs.backbones._option_reading import OptionPasses, OptionReading
from savs.backbones._option_tokens import OptionEncoder, OptionTokens
from savs.backbones._passes import Passes
from savs.backbones._prefixes import PassedChecks
from savs.backbones._record import Reading
from savs.backbones._rendering import placeholders, reads_audio, reads_images, reads_videos
from savs.backbones._thinking import open_thought
from savs.backbones._tokenizers import reading_options
from savs.backbones.base import Extraction, JSONValue, RunReport
from savs.backbones.option_likelihood import OptionLogLikelihood, check_options
from savs.data import Example, Results
from savs.errors import BackboneError
from savs.layout import EarlyExit, Head, HeadLayout

__all__ = ["TransformersBackbone"]

Row = TypeVar("Row")
Vector = NDArray[np.float32]


class TransformersBackbone:
    """A frozen transformers model with its processor; see `savs.backbones.load_backbone`.

    Parameters
    ----------
    model : transformers.PreTrainedModel or peft.PeftModel
        Its weights, mode, hooks and configuration are as before after every call, also after an exception.
    processor : transformers processor or tokenizer
        Never changed.
    source, revision, commit : str, optional
        Where the model came from, for the fingerprint.
    batch_size : int or "auto", default="auto"
        Examples per forward pass; ``"auto"`` takes as many as keep the device busy, on a CPU often one. It is
        halved for good when the device runs out of memory.
    prefix_reuse : bool, default=True
        Read what prompts on the same images have in common only once. Compared with the full pass once per
        call and kind of prompt; where they differ, every prompt is read in full.
    sites : sequence of str, optional
        Paths of the output projections, where they cannot be found; see `find_sites` in
        `savs.backbones._attention_sites`.
    files : mapping of str to str, optional
        Digests of the files that model and processor were loaded from, for the fingerprint:
        ``"config_file_digest"``, ``"processor_files_digest"``.
    accept_faults : bool, default=False
        Read inputs that the installed release of transformers is known to read wrongly.

    Attributes
    ----------
    report : RunReport
        How the last call went through the model.
    load_options : dict
        The options that `savs.backbones.load_backbone` was given.

    Raises
    ------
    BackboneError
        If the model has no softmax self-attention heads, or the batch size is not positive.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        source: str | None = None,
        revision: str | None = None,
        commit: str | None = None,
        batch_size: int | Literal["auto"] = "auto",
        prefix_reuse: bool = True,
        sites: Sequence[str] | None = None,
        files: Mapping[str, str | None] | None = None,
        accept_faults: bool = False,
    ) -> None:
        self.model = model = unwrapped(model)
        self.processor = processor
        self.batch_size = check_batch_size(batch_size)
        self.prefix_reuse = prefix_reuse
        self.accept_faults = accept_faults
        self.report = RunReport()
        self.load_options: dict[str, Any] = {}
        self._origin: dict[str, JSONValue] = {"source": source, "revision": revision, "commit": commit}
        self._origin["sites"] = None if sites is None else list(sites)
        self._anatomy: Anatomy = find_sites(model) if sites is None else find_sites(model, sites)
        device = input_device(model).type
        self._encoder = BatchEncoder(
            processor, _max_tokens(model), pinned=device == "cuda", reserved=placeholders(model, processor)
        )
        self._size = BatchSize(self.batch_size, device)
        self._prefix_failure: str | None = None
        self._narrowing = Narrowing()
        self._passed = PassedChecks(self._state)
        self._fingerprint: tuple[Hashable, Mapping[str, JSONValue]] | None = None
        self._files = dict(files or {})
        self._as_loaded = config_state(model.config), processor_state(processor)

    @cached_property
    def layout(self) -> HeadLayout:
        """The heads of a full feature row."""
        return self._anatomy.layout

    @property
    def fingerprint(self) -> Mapping[str, JSONValue]:
        """What decides the vectors, computed at the first use and again when model or processor have changed.

        Training, switching adapters and other settings of the processor are noticed; values that are written
        through ``parameter.data`` are not.
        """
        now = self._state()
        if self._fingerprint is None or self._fingerprint[0] != now:
            record = fingerprint(self.model, self.processor, self._anatomy)
            chosen = reading_options(self.processor)
            self._fingerprint = now, self._origin | self._files_in_use() | record | chosen
        return self._fingerprint[1]

    def _state(self) -> Hashable:
        """Return what shows that the model or its processor has changed."""
        return state(self.model, self.processor)

    def _files_in_use(self) -> dict[str, JSONValue]:
        """Return the digests of the files of what is still as it was loaded."""
        config, processor = self._as_loaded
        return {
            "config_file_digest": self._files.get("config_file_digest")
            if config_state(self.model.config) == config
            else None,
            "processor_files_digest": self._files.get("processor_files_digest")
            if processor_state(self.processor) == processor
            else None,
        }

    @property
    def modalities(self) -> frozenset[str]:
        """``"text"``, and ``"image"``, ``"audio"``, ``"video"`` where the processor takes them.

        Without ``"video"``, videos are read as images if there is ``"image"``.
        """
        media = {"image": reads_images, "audio": reads_audio, "video": reads_videos}
        return frozenset({"text", *(name for name, reads in media.items() if reads(self.processor))})

    @property
    def source(self) -> str | None:
        """Where the model was loaded from; None for a model object."""
        source = self._origin["source"]
        return None if source is None else str(source)

    @property
    def anatomy(self) -> Anatomy:
        """Where the attention heads are: the output projections, and the layers that were left out."""
        return self._anatomy

    def in_mode(
        self, batch_size: int | Literal["auto"], *, prefix_reuse: bool, accept_faults: bool = False
    ) -> TransformersBackbone:
        """Return another backbone on the same model and heads, run in another way.

        Parameters
        ----------
        batch_size : int or "auto"
            Examples per forward pass.
        prefix_reuse : bool
            Read what prompts have in common once.
        accept_faults : bool, default=False
            Read what is known to be read wrongly, to find out how wrong it is.
        """
        other = copy.copy(self)  # the same heads, not searched for again
        other.batch_size = check_batch_size(batch_size)
        other.prefix_reuse = prefix_reuse
        other.accept_faults = accept_faults
        other.report = RunReport()
        other._size = BatchSize(other.batch_size, input_device(self.model).type)
        other._prefix_failure = None
        other._passed = PassedChecks(other._state)
        return other

    def __copy__(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self  # frozen: copies of what uses it share it

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        reference = reference_to(self)
        return Reference.load, (reference,)

    def __repr__(self) -> str:
        sizes = f"{self._anatomy.n_layers} layers, {self.layout.n_heads} heads"
        return f"{type(self).__name__}({type(self.model).__name__}, {sizes})"

    def extract(
        self,
        examples: Sequence[Example],
        heads: Sequence[Head] | None = None,
        *,
        max_errors: int = 0,
        progress: bool = False,
        states: bool = False,
    ) -> Extraction:
        """Return the vectors of attention heads at the last real token of each prompt.

        Parameters
        ----------
        examples : sequence of Example
            Labels are not read.
        heads : sequence of Head, optional
            The heads to return, in this order; all heads of `layout` by default. The
            forward pass ends at the deepest one.
        max_errors : int, default=0
            How many examples may fail before an error is raised; -1 means any number.
        progress : bool, default=False
            Show a progress bar when the work takes longer than two seconds and stderr is a terminal.
        states : bool, default=False
            Also return the decoder's final hidden states. The forward pass then runs through all
            layers.

        Returns
        -------
        Extraction
            ``features`` is float32 of shape (n_ok, width), one row per example that could be read. The width
            is that of ``layout.select(heads)``. ``states`` is float32 of shape (n_ok, hidden_size), or None.

        Raises
        ------
        ItemError
            When more than `max_errors` examples cannot be read.
        BackboneError
            If the model fails, or one of `heads` does not exist.
        """
        return self.extract_early(
            examples, heads, (), max_errors=max_errors, progress=progress, states=states
        )

    def extract_early(
        self,
        examples: Sequence[Example],
        heads: Sequence[Head] | None,
        exits: Sequence[EarlyExit],
        *,
        max_errors: int = 0,
        progress: bool = False,
        states: bool = False,
    ) -> Extraction:
        """Return vectors as `extract` does, of each example only as deep as it must be read.

        Parameters
        ----------
        examples, heads, max_errors, progress, states
            As for `extract`.
        exits : sequence of EarlyExit
            By depth; their heads are among `heads`.

        Returns
        -------
        Extraction
            Columns of heads above the exit at which an example is answered, and its state, are NaN.

        Raises
        ------
        ItemError, BackboneError
            As by `extract`.

        Notes
        -----
        Rows of a batch that are not answered go on without the others where every argument of the layers
        says which of its dimensions is the batch; compared with the whole batch once per kind of input.
        Where that fails, the batch stays whole until all its rows are answered.
        """
        layout = self._select(heads)
        results = self._results(
            examples, layout, states=states, max_errors=max_errors, progress=progress, exits=exits
        )
        rows = results.values
        indices = np.asarray(list(rows), dtype=np.intp)
        width = layout.width + (self._hidden_size if states else 0)
        table = np.empty((len(indices), width), dtype=np.float32)
        for place, row in enumerate(rows.values()):
            table[place] = row[:width]
        final = table[:, layout.width :].copy() if states else None
        features = table[:, : layout.width].copy() if states else table
        return Extraction(features, indices, list(results.errors.values()), final)

    def last_layer_states(self, examples: Sequence[Example]) -> Vector:
        """Return the decoder's final hidden state at the last real token, shape (n_examples, hidden_size).

        Raises
        ------
        ItemError
            For the first example that cannot be read.
        """
        rows = list(self._results(examples, None, states=True).values.values())
        return np.stack(rows) if rows else np.empty((0, self._hidden_size), np.float32)

    def generate(self, examples: Sequence[Example], *, max_new_tokens: int = 16) -> list[str]:
        """Return the model's own answer to each example: greedy decoding, outer whitespace removed.

        Thoughts of thinking models are part of it, with the marks around them; where the prompt ends inside a
        thought, its opening mark comes first.

        Parameters
        ----------
        examples : sequence of Example
            Labels are not read.
        max_new_tokens : int, default=16
            Largest number of tokens in an answer.

        Returns
        -------
        list of str
            One answer per example, in the order of the examples.

        Raises
        ------
        ItemError
            For the first example that cannot be read.
        """

        def read(batch: Batch) -> list[str]:
            if not self.accept_faults:
                refuse_known_faults(self.model, batch.inputs)
            inputs = accepted_inputs(self.model, batch.inputs)
            with self._encoder.lock:  # the answers are decoded by the tokenizer that encodes the next prompts
                answers = generate_answers(self.model, self.processor, inputs, max_new_tokens)
            return [
                open_thought(item.rendered.text) + answer
                for item, answer in zip(batch.items, answers, strict=True)
            ]

        with frozen(self.model):
            passes = Passes(self._encoder, self._size, read, padding_side="left")
            return list(self._run(passes, examples).values.values())

    def option_log_likelihood(
        self,
        examples: Sequence[Example],
        options: Sequence[str],
        *,
        max_errors: int = 0,
        progress: bool = False,
    ) -> OptionLogLikelihood:
        """Return the log likelihood of each option as the beginning of the answer to each example.

        An option stands where the model's own answer would begin: behind the generation prompt of the chat
        template (and the blanks that the template puts before an answer), or one blank behind plain text. A
        thought that the prompt begins is ended first. Its tokens are those of the whole text. If a tokenizer
        merges the end of the prompt with the beginning of an option, the tokens of every option count from
        the last place that all of them and the prompt have in common.

        The prompt is read once, and the options on top of it in one batch. Options of one token each need no
        more than the prompt, so that prompts go through the model in batches.

        Parameters
        ----------
        examples : sequence of Example
            Labels are not read.
        options : sequence of str
            The answers, each once.
        max_errors : int, default=0
            How many examples may fail before an error is raised; -1 means any number.
        progress : bool, default=False
            Show a progress bar when the work takes longer than two seconds and stderr is a terminal.

        Returns
        -------
        OptionLogLikelihood
            ``sums`` and ``means`` over the tokens of each option, float64 of shape (n_ok, n_options).

        Raises
        ------
        DataError
            If the options cannot be used; see `savs.backbones.option_likelihood.check_options`.
        ItemError
            When more than `max_errors` examples cannot be read.
        BackboneError
            If the model gives no probabilities of tokens, reads its prompt in both directions, or fails.
        """
        asked = OptionEncoder(self._encoder, check_options(options))
        with frozen(self.model) as forget, progress_bar(len(examples), "example", progress) as advance:
            tokens: dict[int, OptionTokens] = {}
            reading = OptionReading(
                self.model, asked, tokens, self._size, forget, accept_faults=self.accept_faults
            )
            passes = OptionPasses(
                self._encoder,
                self._size,
                reading.read,
                reading.read_shared if self.prefix_reuse and not self._prefix_failure else None,
                reading.difference,
                reading.non_finite,
                advance,
                options=asked,
                tokens=tokens,
            )
            results = self._run(passes, examples, max_errors)
        shape = len(results.values), len(asked.options)
        return OptionLogLikelihood(
            np.array(list(results.values.values()), np.float64).reshape(shape),
            np.array([tokens[index].counts for index in results.values], np.intp).reshape(shape),
            np.asarray(list(results.values), dtype=np.intp),
            list(results.errors.values()),
        )

    def _results(
        self,
        examples: Sequence[Example],
        layout: HeadLayout | None,
        *,
        states: bool,
        max_errors: int = 0,
        progress: bool = False,
        exits: Sequence[EarlyExit] = (),
    ) -> Results[Vector]:
        """Read the wanted heads and states, one row or error per example."""
        with frozen(self.model) as forget, progress_bar(len(examples), "example", progress) as advance:
            kind = partial(EarlyReading, **self._exit_options(exits)) if exits else Reading
            reading = kind(
                self.model,
                self._anatomy,
                layout,
                self._size,
                forget,
                states=states,
                accept_faults=self.accept_faults,
            )
            passes: Passes[Vector] = Passes(
                self._encoder,
                self._size,
                reading.read,
                reading.read_shared if self.prefix_reuse and not self._prefix_failure else None,
                reading.difference,
                reading.non_finite,
                advance,
                passed=self._passed,
                depth=self._anatomy.n_layers + 1 if layout is None or states else layout.n_layers,
            )
            return self._run(passes, examples, max_errors)

    def _exit_options(self, exits: Sequence[EarlyExit]) -> dict[str, Any]:
        return {"exits": exits, "layers": self._anatomy.layers, "narrowing": self._narrowing}

    def _run(self, passes: Passes[Row], examples: Sequence[Example], max_errors: int = 0) -> Results[Row]:
        self.report = passes.report
        results = passes.run(examples, max_errors)
        self._prefix_failure = self._prefix_failure or passes.report.prefix_failure
        return results

    @property
    def _hidden_size(self) -> int:
        return int(self.model.config.get_text_config(decoder=True).hidden_size)

    def _select(self, heads: Sequence[Head] | None) -> HeadLayout:
        if heads is None:
            return self.layout
        try:
            return self.layout.select(heads)
        except KeyError as error:
            raise BackboneError(f"this backbone has no head {tuple(error.args[0])}") from None
        except ValueError as error:
            raise BackboneError(f"the wanted heads cannot be used: {error}") from None


def _max_tokens(model: Any) -> int | None:
    config = model.config.get_text_config(decoder=True)
    limit = getattr(config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None
