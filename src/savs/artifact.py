"""What a saved classifier holds, and its files: safetensors and JSON with checksums, never pickle."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs._registry import NotRegisteredError
from savs._reprs import short_repr
from savs._schema_3 import from_schema_3
from savs.backbones import PromptTemplate
from savs.backbones._canary import Canary
from savs.backbones._identity import differing, other_libraries
from savs.classifiers import Estimate, HeadClassifier, Method, State
from savs.classifiers._probabilities import is_log_proba_table
from savs.classifiers.prompt_ensemble import PromptEnsembleClassifier, restored, unregistered_part
from savs.data import Label, as_label
from savs.errors import ArtifactError, BackboneMismatchError
from savs.layout import Head, HeadLayout
from savs.media import Sampling
from savs.media._bit_depth import check_bit_depth
from savs.media._coercion import check_sampling

__all__ = [
    "LABEL_TYPES",
    "Artifact",
    "Shot",
    "common_bit_depth",
    "common_media",
    "common_sampling",
    "IDENTITY",
    "check_backbone",
    "SCHEMA_VERSION",
    "check_target",
    "load_artifact",
    "save_artifact",
]


# What a saved classifier holds, and whether it fits together.

_KINDS = ("audio", "image", "video")
_MEDIA = [kinds for number in range(len(_KINDS) + 1) for kinds in combinations(_KINDS, number)]

LABEL_TYPES: dict[str, type] = {"str": str, "int": int, "bool": bool}


@dataclass(frozen=True)
class Shot:
    """What a saved classifier stores about one support example, without its content.

    Attributes
    ----------
    id : str
    label : label
    digest : str
        Hash of its content.
    media : tuple of {"audio", "image", "video"}, or None
        Its kinds of media; None if an older version of savs did not record them.
    video : Sampling or None
        Which frames of its videos were read. None if it has no videos, or they were sampled differently.
    bit_depth : int or None
        Bits that its images' values of more than 8 bits were read with, where that was named.
    """

    id: str
    label: Label
    digest: str
    media: tuple[str, ...] | None = None
    video: Sampling | None = None
    bit_depth: int | None = None


@dataclass(frozen=True)
class Artifact:
    """What a saved classifier holds.

    Attributes
    ----------
    method : Method
        The method and its parameters, as requested.
    prompt : str or None
        Prompt template.
    classifier : HeadClassifier
        The fitted estimator, on rows of all heads.
    shots : list of Shot
        The support set.
    out_of_fold : ndarray of float64, shape (n_shots, n_classes), or None
        Log probabilities of each shot under a classifier fitted without it. Rows of NaN belong to shots that
        were never held out.
    rows : ndarray of float32, shape (n_shots, layout.width), or None
        Feature rows of the shots, in their order, if they are kept.
    estimate : dict or None
        Cross-validated estimate from the shots (`savs.classifiers.cross_validation`).
    report : dict or None
        The candidates that an automatic choice compared, and its result.
    fingerprint : dict
        Fingerprint of the backbone.
    canary : Canary or None
        Vectors of the heads in use for a few made-up inputs; None if an older version of savs kept none.
    prompts : tuple of str, or None
        Prompt templates, where they are several; `prompt` is None then. `rows` and the classifier's own hold
        those of all prompts side by side.
    """

    method: Method
    prompt: str | None
    classifier: HeadClassifier
    shots: list[Shot]
    out_of_fold: NDArray[np.float64] | None
    rows: NDArray[np.float32] | None
    estimate: dict[str, Any] | None
    report: dict[str, Any] | None
    fingerprint: dict[str, Any]
    canary: Canary | None = None
    prompts: tuple[str, ...] | None = None

    __repr__ = short_repr

    @property
    def classes(self) -> list[Label]:
        """The labels, sorted."""
        return list(self.classifier.classes_.tolist())

    @property
    def layout(self) -> HeadLayout:
        """All heads of the backbone, and the last-layer state where it was read."""
        return self.classifier.backbone_layout_

    @property
    def heads(self) -> list[tuple[int, int]]:
        """The heads in use, best first; with several prompts those of any, by layer and index."""
        return [(head.layer, head.index) for head in self.classifier.backbone_heads_]

    @property
    def head_scores(self) -> list[float] | None:
        """Score of every head in layout order, where the method ranks heads; hits for the published rule."""
        scores = self.classifier.head_scores_
        return None if scores is None else scores.tolist()

    @property
    def video_sampling(self) -> Sampling | None:
        """Which frames of the shots' videos were read, where there are some and one way to read them."""
        return common_sampling(self.shots)

    @property
    def bit_depth(self) -> int | None:
        """The bit depth that the shots' images were read with, where one was named for all."""
        return common_bit_depth(self.shots)

    @property
    def shots_per_class(self) -> dict[Label, int]:
        """Number of shots of each class, in the order of `classes`."""
        counts = Counter(shot.label for shot in self.shots)
        return {label: counts[label] for label in self.classes}


def check_artifact(artifact: Artifact, label_type: type) -> None:
    """Raise `ValueError` if the contents do not fit together.

    The classifier's own arrays are checked by a trial: it must return finite probabilities for a row of zeros
    and a row of ones.
    """
    classes, shots = artifact.classes, artifact.shots
    for video in {shot.video for shot in shots if shot.video is not None}:
        check_sampling(video)  # `ExampleError` is a `ValueError`
    for bit_depth in {shot.bit_depth for shot in shots}:
        check_bit_depth(bit_depth)
    checks = (
        len(classes) >= 2 and all(type(label) is label_type for label in classes),
        artifact.classifier.classes_.tolist() == np.unique(artifact.classifier.classes_).tolist(),
        all(as_label(label) == label for label in classes),
        all(type(shot.label) is label_type and shot.label in classes for shot in shots),
        all(isinstance(text, str) for shot in shots for text in (shot.id, shot.digest)),
        all(shot.media is None or shot.media in _MEDIA for shot in shots),
        artifact.prompt is None or _is_template(artifact.prompt),
        _are_prompts(artifact.prompts, artifact),
        len(artifact.heads) > 0 and len(set(artifact.heads)) == len(artifact.heads),
        artifact.out_of_fold is None
        or (
            len(artifact.out_of_fold) == len(shots) and is_log_proba_table(artifact.out_of_fold, len(classes))
        ),
        artifact.rows is None
        or _is_finite(artifact.rows, (len(shots), artifact.classifier.layout_.width), np.float32),
        artifact.estimate is None or _is_estimate(artifact.estimate),
        artifact.report is None or _says_what_it_chose(artifact.report),
        isinstance(artifact.fingerprint, dict),
        artifact.canary is None or artifact.canary.vectors.shape[1] == sum(kept_widths(artifact.classifier)),
        _answers(artifact.classifier, len(classes)),
    )
    if not all(checks):
        raise ValueError(f"check {checks.index(False)} of a classifier's contents failed")


def probed_heads(classifier: HeadClassifier) -> list[Head]:
    """Return what a canary looks at: the heads in use and the state, or the deepest head if none is."""
    kept = [head for head in classifier.backbone_heads_ if not head.is_options]
    return kept or [max(classifier.backbone_layout_.heads)]


def kept_widths(classifier: HeadClassifier) -> list[int]:
    """Return the number of columns of each of `probed_heads`."""
    kept = classifier.backbone_layout_.select(probed_heads(classifier))
    return [*kept.dims, *([] if kept.state is None else [kept.state[1]])]


def common_media(shots: Iterable[Shot]) -> set[str]:
    """Return the media that every shot has."""
    known = {shot.media or () for shot in shots}
    return set.intersection(*map(set, known)) if known else set()


def common_sampling(shots: Iterable[Shot]) -> Sampling | None:
    """Return which frames of the videos of shots were read; None without videos, or if in several ways."""
    found = {shot.video for shot in shots} - {None}
    return found.pop() if len(found) == 1 else None


def common_bit_depth(shots: Iterable[Shot]) -> int | None:
    """Return the bit depth that the images of all shots were read with; None without one, or if several."""
    found = {shot.bit_depth for shot in shots if shot.media is None or "image" in shot.media}
    return found.pop() if len(found) == 1 else None


def _is_template(prompt: Any) -> bool:
    """Return whether a prompt template can be made of this; `ExampleError`, a `ValueError`, says why not."""
    return isinstance(prompt, str) and PromptTemplate(prompt).template == prompt


def _are_prompts(prompts: Sequence[Any] | None, artifact: Artifact) -> bool:
    """Return whether there is a prompt for each part of a classifier of several, and none otherwise."""
    classifier = artifact.classifier
    if prompts is None or not isinstance(classifier, PromptEnsembleClassifier):
        return prompts is None and not isinstance(classifier, PromptEnsembleClassifier)
    as_many = len(set(prompts)) == len(prompts) == len(classifier.estimators_)
    told = artifact.report is not None and _are_weighed(artifact.report["prompts"], len(prompts))
    return as_many and told and artifact.prompt is None and all(map(_is_template, prompts))


def _are_weighed(reports: Any, n_prompts: int) -> bool:
    """Return whether a report says of each prompt what is shown of it."""
    numbers = (float, int)
    return len(reports) == n_prompts and all(
        type(one["weight"]) in numbers and type(one["log_loss"]) in (*numbers, type(None)) for one in reports
    )


def _says_what_it_chose(report: Any) -> bool:
    """Return whether a report holds what is shown of it."""
    if not isinstance(report, dict) or type(report.get("head_stability")) not in (float, int, type(None)):
        return False
    chosen, why = report.get("chosen", []), report.get("why", "")
    told = ("chosen" in report) == ("why" in report) and _tells_of_unlabelled(report.get("unlabelled"))
    return told and isinstance(chosen, list) and all(isinstance(text, str) for text in (*chosen, why))


def _tells_of_unlabelled(found: Any) -> bool:
    """Return whether a report holds what is shown of unlabelled items, or has none."""
    if found is None:
        return True
    numbers = [found["strength"], *found["offsets"]]
    return type(found["n"]) is int and bool(found["offsets"]) and all(type(n) is float for n in numbers)


def _is_estimate(content: Any) -> bool:
    """Return whether an `Estimate` can be made of this and shown."""
    found = Estimate(**content)
    numbers = [found.accuracy, found.macro_f1, *found.interval]
    numbers += [number for number in (found.log_loss, found.ece, found.brier) if number is not None]
    return (
        all(type(number) in (int, float) for number in numbers)
        and type(found.n) is int
        and type(found.n_shots) in (int, type(None))
        and type(found.n_untested_classes) is int
        and (found.note is None or isinstance(found.note, str))
    )


def _answers(classifier: HeadClassifier, n_classes: int) -> bool:
    kept = classifier.restrict_to(classifier.heads_)
    rows = np.stack([np.zeros(kept.layout_.width), np.ones(kept.layout_.width)])
    return _is_finite(kept.predict_proba(rows), (2, n_classes), np.float64)


def _is_finite(array: NDArray[Any], shape: tuple[int, ...], dtype: type) -> bool:
    return array.shape == shape and array.dtype == dtype and bool(np.isfinite(array).all())


# Which backbone a classifier belongs to, and refusing any other.

IDENTITY = (
    "model_class",
    "config_digest",
    "weights_digest",
    "commit",
    "processor_class",
    "processor_digest",
    "processor_backend",
    "tokenizer",
    "template_options",
    "leaves_out_eos",
    "video_digest",
    "dtype",
    "quantization",
    "adapters",
    "sites",
)
"""The entries of a fingerprint that must agree; the others (source, kernel, versions) are only recorded."""


def check_backbone(
    artifact: Artifact, fingerprint: Mapping[str, Any], layout: HeadLayout, allow_mismatch: Sequence[str] = ()
) -> list[str]:
    """Raise an error if a backbone differs from the one that the classifier was fitted on.

    What another release of transformers only names in another way is the same (`savs.backbones._identity`).

    Parameters
    ----------
    artifact : Artifact
        The saved classifier.
    fingerprint : mapping
        The backbone's fingerprint. Only the entries in `IDENTITY` are compared.
    layout : HeadLayout
        The backbone's layout. It must equal the classifier's, apart from the last-layer state.
    allow_mismatch : sequence of str, optional
        Entries of the fingerprint that may differ; none by default.

    Returns
    -------
    list of str
        The entries that differ and may.

    Raises
    ------
    BackboneMismatchError
        If other entries of the fingerprint differ, or the layout does. Its `entries` attribute lists them.
    ValueError
        If `allow_mismatch` holds a name that is not in `IDENTITY`.
    """
    unknown = set(allow_mismatch) - set(IDENTITY)
    if unknown:
        raise ValueError(f"allow_mismatch takes {', '.join(IDENTITY)}; got {', '.join(sorted(unknown))}")
    saved = artifact.fingerprint
    unlike = [
        name for name in differing(saved, fingerprint, IDENTITY) if not _unknown(name, saved, fingerprint)
    ]
    refused = [name for name in unlike if name not in allow_mismatch]
    details = [f"{name}: {_short(saved.get(name))} -> {_short(fingerprint.get(name))}" for name in refused]
    own = artifact.layout.without_state()
    if layout != own:
        refused, details = ["layout", *refused], [f"layout: {_spelled(own, layout)}", *details]
    if not refused:
        return unlike
    advice = (
        "load that one or fit again"
        if "layout" in refused
        else f"load that one, fit again, or accept the difference with allow_mismatch={refused!r}"
    )
    libraries = other_libraries(saved, fingerprint)
    if libraries:
        advice = f"{', '.join(libraries)} may be the cause; {advice}"
    raise BackboneMismatchError(
        f"the classifier was fitted on another backbone ({'; '.join(details)}); {advice}", refused
    )


def _spelled(saved: HeadLayout, current: HeadLayout) -> str:
    saved_text, current_text = (
        f"{layout.n_heads} heads in {layout.n_layers} layers and {layout.width} columns"
        for layout in (saved, current)
    )
    return f"{saved_text} -> {current_text}"


def _unknown(name: str, saved: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
    """Return whether an entry cannot be compared."""
    # A copied folder has no commit: its weights, configuration and processor are compared by digest.
    if name == "commit":
        return saved.get(name) is None or current.get(name) is None
    return name == "video_digest" and name not in saved


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:12] + "..."


# The index of a saved classifier: JSON with its own checksum, and the numbers beside it by name.

SCHEMA_VERSION = 5
_PROMPTS_SCHEMA = 6  # of several prompts alone: all others are written as before there could be several
_OLDEST_SCHEMA = 3

Tensors = dict[str, NDArray[Any]]

_OWN = "classifier."
_BESIDE = ("out_of_fold", "rows")
_CANARY = "canary"


def tensors_of(artifact: Artifact) -> Tensors:
    """Return every array of the artifact by the name it has in the file."""
    found = {_OWN + name: array for name, array in artifact.classifier.to_state().arrays.items()}
    beside = {name: getattr(artifact, name) for name in _BESIDE}
    found |= {name: array for name, array in beside.items() if array is not None}
    if artifact.canary is not None:
        found[_CANARY] = artifact.canary.vectors
    return {name: found[name] for name in sorted(found)}


def encode_index(artifact: Artifact, tensors_name: str, tensors: bytes) -> bytes:
    """Return the index as JSON; `tensors` is the content of the file `tensors_name`."""
    index: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION if artifact.prompts is None else _PROMPTS_SCHEMA,
        "tensors": {
            "file": tensors_name,
            "sha256": sha256(tensors).hexdigest(),
            "arrays": {name: _described(array) for name, array in tensors_of(artifact).items()},
        },
        "label_type": type(artifact.classes[0]).__name__,
        "prompt": artifact.prompt,
        **({} if artifact.prompts is None else {"prompts": list(artifact.prompts)}),
        "method": artifact.method.to_json(),
        "classifier": artifact.classifier.to_state().settings,
        "shots": [_entry(shot) for shot in artifact.shots],
        "estimate": artifact.estimate,
        "report": artifact.report,
        "fingerprint": artifact.fingerprint,
        "canary": _canary_entry(artifact.canary),
    }
    index["sha256"] = _digest(index)
    return (json.dumps(index, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def decode_index(raw: bytes) -> dict[str, Any]:
    """Return an index whose checksum holds.

    Raises
    ------
    ArtifactError
        If a newer savs wrote it, or one before the first release.
    ValueError
        If it is not an index, or was altered; the text says which.
    """
    try:
        index = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError("is not JSON") from error
    if (
        not isinstance(index, dict)
        or type(index.get("schema_version")) is not int
        or index["schema_version"] < 1
    ):
        raise ValueError("is not a classifier's index")
    if index["schema_version"] > _PROMPTS_SCHEMA:
        raise ArtifactError(
            f"it was written by a newer savs (schema {index['schema_version']}, this one reads up to "
            f"{_PROMPTS_SCHEMA}): upgrade savs"
        )
    if index["schema_version"] < _OLDEST_SCHEMA:
        raise ArtifactError(
            f"it was written before the first release of savs (schema {index['schema_version']}): fit again"
        )
    try:
        intact = index.get("sha256") == _digest(index)
    except (ValueError, RecursionError) as error:
        raise ValueError("holds values that no classifier has") from error
    if not intact:
        raise ValueError("was altered (its checksum differs)")
    return index


def build_artifact(index: Mapping[str, Any], tensors: Tensors) -> Artifact:
    """Return the artifact that an index and its tensors describe.

    Raises
    ------
    KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError
        If the index and the tensors do not fit together.
    """
    if index["tensors"]["arrays"] != {name: _described(array) for name, array in tensors.items()}:
        raise ValueError("the arrays are not those that were saved")
    if index["schema_version"] == 3:
        index, tensors = from_schema_3(index, tensors)
    own = {name.removeprefix(_OWN): array for name, array in tensors.items() if name.startswith(_OWN)}
    if set(tensors) - {*_BESIDE, _CANARY} - {_OWN + name for name in own}:
        raise ValueError("there are arrays that belong to nothing")
    _check_codes(own, len(index["classifier"]["classes"]))
    artifact = Artifact(
        method=Method.from_json(index["method"]),
        prompt=index["prompt"],
        classifier=restored(State(own, index["classifier"])),
        shots=[_shot(shot) for shot in index["shots"]],
        out_of_fold=tensors.get("out_of_fold"),
        rows=tensors.get("rows"),
        estimate=index["estimate"],
        report=index["report"],
        fingerprint=index["fingerprint"],
        canary=_canary(index.get("canary"), tensors.get(_CANARY)),
        prompts=_prompts(index.get("prompts")),
    )
    check_artifact(artifact, LABEL_TYPES[index["label_type"]])
    return artifact


def _entry(shot: Shot) -> dict[str, Any]:
    entry = asdict(shot)
    # Only where there is one: all others are written as they were before there were bit depths.
    return {name: value for name, value in entry.items() if name != "bit_depth" or value is not None}


def _canary_entry(canary: Canary | None) -> dict[str, Any] | None:
    if canary is None:
        return None
    return {"environment": dict(canary.environment), "probes": list(canary.probes)}


def _canary(entry: Mapping[str, Any] | None, vectors: NDArray[Any] | None) -> Canary | None:
    if (entry is None) != (vectors is None):
        raise ValueError("a canary is its entry and its vectors")
    if entry is None or vectors is None:
        return None
    return Canary(dict(entry["environment"]), tuple(entry["probes"]), vectors)


def _prompts(entry: Any) -> tuple[str, ...] | None:
    if not isinstance(entry, list | None):
        raise TypeError("prompts are a list")
    return None if entry is None else tuple(entry)


def _shot(entry: Mapping[str, Any]) -> Shot:
    media, video = entry["media"], entry["video"]
    if not isinstance(media, list | None):
        raise TypeError("the media of a shot must be a list")
    decoded = {
        "media": None if media is None else tuple(media),
        "video": None if video is None else Sampling(**video),
    }
    return Shot(**{**entry, **decoded})


def _check_codes(arrays: Tensors, n_classes: int) -> None:
    """Raise `ValueError` if shots are of no class: a rule would make room for all classes up to theirs."""
    for name, codes in arrays.items():
        if name.endswith(".codes") and not (
            codes.dtype.kind == "i" and codes.size and codes.min() >= 0 and codes.max() < n_classes
        ):
            raise ValueError(f"{name} are not indices of classes")


def _described(array: NDArray[Any]) -> list[Any]:
    return [str(array.dtype), list(array.shape)]


def _digest(index: Mapping[str, Any]) -> str:
    body = {key: value for key, value in index.items() if key != "sha256"}
    compact = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if "\\ud" in compact:
        # Half of a surrogate pair can be read from JSON, but never be written or shown.
        json.dumps(body, ensure_ascii=False).encode()
    return sha256(compact.encode()).hexdigest()


# Writing and reading the folder of a saved classifier.

INDEX_NAME = "savs.json"
LABELS_INDEX_NAME = "savs-labels.json"  # of `savs.MultiLabelModel`
CARD_NAME = "README.md"
MAX_INDEX_BYTES = 64 * 2**20


def save_artifact(artifact: Artifact, folder: str | Path, *, card: str) -> None:
    """Write the artifact; an older one in the folder stays intact until the new one is complete.

    Parameters
    ----------
    artifact : Artifact
        What is saved.
    folder : path
        A new or empty folder, or one that holds a saved classifier.
    card : str
        The model card, Markdown.

    Raises
    ------
    ArtifactError
        If the folder holds something else or cannot be written, or no registered method uses the
        classifier's class. Nothing temporary is left behind.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    check_target(folder)
    kind = unregistered_part(artifact.classifier)
    if kind is not None:
        raise ArtifactError(
            f"a {kind.__name__} could not be read back: give its class a name with "
            "savs.classifiers.register_method before it is saved"
        )
    # safetensors writes an array's memory as it lies: one in Fortran order would come back scrambled.
    tensors = save({name: np.array(array, order="C") for name, array in tensors_of(artifact).items()})
    tensors_name = f"classifier-{_sha256(tensors)[:12]}.safetensors"
    index = encode_index(artifact, tensors_name, tensors)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / tensors_name, tensors)
        _write(folder / CARD_NAME, card.encode())
        _write(folder / INDEX_NAME, index)
        for stale in folder.glob("classifier-*.safetensors"):
            if stale.name != tensors_name:
                stale.unlink()
    except OSError as error:
        raise ArtifactError(f"cannot write the classifier to {folder}: {error.strerror or error}") from error


def check_target(folder: str | Path) -> None:
    """Raise `ArtifactError` if no classifier may be written there: a file, or a folder of other things."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder} is a file: name a new or empty folder for the classifier")
    if folder.is_dir() and not (folder / INDEX_NAME).exists():
        foreign = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        if foreign:
            raise ArtifactError(f"{folder} holds other files ({foreign[0]}, ...): name a new or empty folder")


def load_artifact(folder: str | Path) -> Artifact:
    """Read and check an artifact.

    Raises
    ------
    ArtifactError
        If it is not a classifier's folder, a part is missing or altered, or a newer savs wrote it.
    """
    folder = Path(folder)
    if not _is_folder(folder):
        raise ArtifactError(
            f"{folder} is not a classifier: expected a folder written by save_pretrained or 'savs fit'"
        )
    raw = _read(folder / INDEX_NAME, MAX_INDEX_BYTES)
    try:
        index = decode_index(raw)
    except ValueError as error:
        raise _damaged(folder, f"{INDEX_NAME} {error}") from error
    except ArtifactError as error:
        raise ArtifactError(f"{folder} cannot be read: {error}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers that no fit makes; they are refused below
            return build_artifact(index, _load_tensors(folder, index))
    except NotRegisteredError as error:
        raise ArtifactError(
            f"{folder} needs a plug-in that is not installed: {error}; install the package that provides it, "
            "or register it first (savs.classifiers.register_method, register_rule)"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        raise _damaged(folder, "its contents do not fit together") from error


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that no file can have
        return False


def _load_tensors(folder: Path, index: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    name = index["tensors"]["file"]
    if Path(name).name != name or not name.endswith(".safetensors"):
        raise _damaged(folder, "it names a file outside its folder")
    raw = _read(folder / name, _most_bytes(index))
    if _sha256(raw) != index["tensors"]["sha256"]:
        raise _damaged(folder, f"{name} was altered (its checksum differs)")
    try:
        return load(raw)
    except SafetensorError as error:
        raise _damaged(folder, f"{name} is not a safetensors file") from error


def _damaged(folder: Path, why: str) -> ArtifactError:
    return ArtifactError(
        f"{folder} cannot be used as a classifier: {why}; restore it from a good copy or fit again"
    )


def _most_bytes(index: Mapping[str, Any]) -> int:
    """Return how long the file of numbers may be: its arrays as the index states them, and their names."""
    arrays = index["tensors"]["arrays"].values()
    sizes = (np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape in arrays)
    return int(sum(sizes)) + MAX_INDEX_BYTES


def _read(path: Path, limit: int) -> bytes:
    try:
        # A pipe would be waited for, a device never ends.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ArtifactError(f"{path} is not a regular file; a classifier is a folder of files")
        if path.stat().st_size > limit:
            raise ArtifactError(f"{path} is larger than it can be in a classifier ({limit} bytes)")
        return path.read_bytes()
    except FileNotFoundError as error:
        if (path.parent / LABELS_INDEX_NAME).is_file():
            raise ArtifactError(
                f"{path.parent} holds a classifier for each of several labels; name one of its folders, such "
                f"as {path.parent.name}/label-0000, or use MultiLabelModel, savs evaluate or savs predict"
            ) from error
        raise ArtifactError(
            f"{path.parent} is not a complete classifier: {path.name} is missing (a classifier is a folder "
            f"with {INDEX_NAME} and a .safetensors file)"
        ) from error
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    except MemoryError:
        raise ArtifactError(f"{path} does not fit into memory") from None


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
