"""What a fitted model answers: labels, probabilities, sets of labels, evidence."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.classifiers.conformal import (
    OutOfDistributionDetector,
    ThresholdAtFPR,
    conformal_sets,
    threshold_at_fpr,
)
from savs.classifiers.evidence import find_label_issues, head_opinions, held_out_votes
from savs.data import DataWarning, ErrorLedger, Label, as_examples, find_test_leakage
from savs.errors import DataError
from savs.model._learning import shots_of
from savs.model._state import ModelState, placed
from savs.model._support_set import LabelIssue, read_alike
from savs.model.explanation import Explanation, explain_rows, occluded
from savs.model.predictions import AbstentionPolicy, Predictions


class FittedModel(ModelState):
    """Everything a fitted model can be asked; `SAVModel` adds how it comes to be fitted."""

    def find_label_issues(self) -> list[LabelIssue]:
        """Return the shots that most heads would label otherwise when they are left out, worst first.

        Every head of the backbone has a vote, by a Gaussian per class with common covariance on the other
        shots (`savs.classifiers.evidence`).

        Raises
        ------
        DataError
            If the shots' rows are not at hand.
        """
        _ = self._fitted
        classes, shots = shots_of(self._support, self._row_layout)
        labels: list[Label] = classes.tolist()
        found = find_label_issues(held_out_votes(shots), shots.codes, len(classes))
        return [
            LabelIssue(self._support.shots[one.shot].id, labels[one.label], labels[one.suggested], *one[3:])
            for one in found
        ]

    def explain(self, example: Any, *, tiles: int = 4, progress: bool = False) -> Explanation:
        """Return the evidence for the answer to one example.

        Parameters
        ----------
        example : object
            Anything that `as_example` takes.
        tiles : int, default=4
            Each image is seen again without each of ``tiles * tiles`` tiles, and the text without each
            word; 0 leaves images alone.
        progress : bool, default=False
            Show a progress bar.

        Raises
        ------
        ItemError
            If the example cannot be read.

        Notes
        -----
        One forward pass per tile and word, in batches. Nearest shots, and votes of heads for methods whose
        heads do not vote one by one, need the shots' rows: those of a saved classifier if it was saved with
        ``keep_shots=True``.
        """
        if isinstance(tiles, bool) or not isinstance(tiles, int) or tiles < 0:
            raise ValueError(f"tiles must be 0 or more, got {tiles!r}")
        classifier = self._voters
        whole = next(iter(self._prompted(dict(enumerate(as_examples([example]))), ErrorLedger()).values()))
        self._warn_of_unlike([whole])
        variants = list(occluded(whole, tiles))
        rows = self._rows([whole, *(variant.example for variant in variants)], progress=progress)
        wheres = [variant.where for variant in variants]
        return explain_rows(classifier, rows, wheres, self._support, self._kept_shot_rows())

    def predict_set(self, examples: Sequence[Any], alpha: float = 0.1) -> list[list[Label]]:
        """Return every class that an example may be, so that each class is missed at most so often.

        Class-conditional conformal sets from held-out shots (`conformal_sets`): among
        examples of any one class at most the share `alpha` loses its class. A set may hold no class.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        alpha : float, default=0.1
            Share of misses that is allowed, between 0 and 1.

        Warns
        -----
        DataWarning
            If a class has too few shots for the alpha; it is in every set then.
        """
        abstention_policy = self.abstention_policy(sets=alpha)
        features = self._kept_features(examples)
        return abstention_policy.judge(features, np.exp(self._log_proba(features))).sets or []

    def abstention_policy(
        self,
        *,
        sets: float | None = None,
        flags: Mapping[Label, float] | None = None,
        out_of_distribution: float | None = None,
    ) -> AbstentionPolicy:
        """Return thresholds for `predict_each`, computed once.

        Parameters
        ----------
        sets : float, optional
            Level of answer sets, see `predict_set`.
        alarms : mapping of label to float, optional
            Rate of false alarms of each announced class, see `threshold_at_fpr`.
        out_of_distribution : float, optional
            Quantile of known examples, see `is_out_of_distribution`.

        Raises
        ------
        DataError
            If the shots are too few for a rate or quantile, or their rows are needed and not at hand.
        """
        of_sets = None if sets is None else conformal_sets(self.out_of_fold_log_proba_, self._codes, sets)
        if of_sets is not None and of_sets.note is not None:
            warnings.warn(of_sets.note, DataWarning, stacklevel=3)
        thresholds = {label: self.threshold_at_fpr(label, rate) for label, rate in (flags or {}).items()}
        detector = None if out_of_distribution is None else self._detector(out_of_distribution)
        return AbstentionPolicy(self.classes_.tolist(), of_sets, thresholds, detector)

    def threshold_at_fpr(self, label: Label, fpr: float) -> ThresholdAtFPR:
        """Return from which probability on a class is to be announced, for a rate of false alarms.

        Parameters
        ----------
        label : label
            The class that is announced, such as ``"harmful"``.
        fpr : float
            Largest share of examples of the other classes that may be announced.

        Returns
        -------
        AlarmThreshold
            Compare its ``threshold`` with `predict_proba`'s column of the class.

        Raises
        ------
        DataError
            If there is no such class, or the shots are too few to promise the rate.
        """
        labels = self.classes_.tolist()
        if label not in labels:
            raise DataError(f"there is no class {label!r}; there are {', '.join(map(repr, labels))}")
        return threshold_at_fpr(self.out_of_fold_log_proba_, self._codes, labels.index(label), fpr)

    def is_out_of_distribution(self, examples: Sequence[Any], quantile: float = 0.95) -> NDArray[np.bool_]:
        """Return which examples lie farther from all shots than the shots do from each other.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        quantile : float, default=0.95
            Share of examples like the shots that count as known.

        Raises
        ------
        DataError
            If the shots are too few for the quantile, or their rows are not at hand.
        """
        return self._detector(quantile).is_out_of_distribution(self._kept_features(examples))

    def predict(self, examples: Sequence[Any]) -> NDArray[Any]:
        """Return one label per example, shape (n_examples,); the first bad example raises its `ItemError`."""
        return np.asarray(self._voters.predict(self._kept_features(examples)))

    def predict_proba(self, examples: Sequence[Any]) -> NDArray[np.float64]:
        """Return a probability for each class, shape (n_examples, n_classes), columns as ``classes_``.

        Calibrated on held-out shots, but for ``"sav"``: there the share of votes, as published.
        """
        return np.asarray(self._voters.predict_proba(self._kept_features(examples)))

    def decision_function(self, examples: Sequence[Any]) -> NDArray[np.float64]:
        """Return values of which the largest is the answer: log probabilities; votes for ``"sav"``.

        Shape (n_examples, n_classes), or (n_examples,) for two classes, positive for ``classes_[1]``.
        """
        return np.asarray(self._voters.decision_function(self._kept_features(examples)))

    def votes(self, examples: Sequence[Any]) -> NDArray[Any]:
        """Return the label each head in use is for, shape (n_examples, n_kept_heads), best head first.

        Raises
        ------
        DataError
            If the method's heads do not vote one by one.
        """
        voters, features = self._voters, self._kept_features(examples)
        opinions = head_opinions(voters, features)
        if opinions is None:
            raise DataError(f"the heads of method {self._method.name!r} do not vote one by one; see explain")
        return np.asarray(voters.classes_[opinions.votes.T])

    def score(self, examples: Sequence[Any], labels: Sequence[Label] | None = None) -> float:
        """Return the accuracy on labeled examples."""
        items = as_examples(examples, labels)
        missing = [item.id for item in items if item.label is None]
        if missing or not items:
            raise DataError(f"score needs at least one example and a label on each; without: {missing[:5]}")
        answers = self.predict(items).tolist()
        return float(np.mean([item.label == answer for item, answer in zip(items, answers, strict=True)]))

    def predict_each(
        self,
        examples: Sequence[Any],
        *,
        max_errors: int = 0,
        abstention_policy: AbstentionPolicy | None = None,
        progress: bool = False,
    ) -> Predictions:
        """Answer what can be answered and report the rest.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        max_errors : int, default=0
            How many examples may fail before the error of one more is raised; -1 means any number.
        caution : Caution, optional
            From `abstention_policy`: sets of classes, alarms and unknown examples come with the answers.
        progress : bool, default=False
            Show a progress bar.
        """
        kept = self._extract(examples, self.heads_, ErrorLedger(max_errors), progress=progress)
        found = Predictions(kept.indices, *self.answer(kept.features), kept.errors)
        if abstention_policy is None:
            return found
        shares = np.exp(self._log_proba(kept.features)) if len(kept.features) else found.proba
        return replace(found, abstentions=abstention_policy.judge(kept.features, shares))

    def answer(self, features: NDArray[np.float32]) -> tuple[list[Label], NDArray[np.float64]]:
        """Return labels and probabilities for rows that hold the vectors of the heads in use.

        Parameters
        ----------
        features : ndarray of float32, shape (n_examples, width)
            As `head_vectors` gives them for ``heads_``; may have no rows.

        Returns
        -------
        labels : list of label
        proba : ndarray of float64, shape (n_examples, n_classes)
            Columns in the order of ``classes_``.
        """
        voters = self._voters
        if not len(features):
            return [], np.empty((0, len(voters.classes_)))
        return voters.predict(features).tolist(), voters.predict_proba(features)

    def find_test_leakage(self, examples: Sequence[Any]) -> list[int]:
        """Return the indices of examples whose prompted content, text and media bytes, is that of a shot.

        A video is the same one whichever frames of it are read, where the shots' were read in one way.
        Examples that cannot be read are passed over: `predict_each` reports them.
        """
        _ = self._fitted  # unfitted, there are no shots to compare with: say so as every other method does
        digests = {shot.digest for shot in self.shots_}
        ledger = ErrorLedger(-1)
        prompted = self._prompted(placed(examples, ledger), ledger)
        indices = list(prompted)
        alike = read_alike(prompted.values(), self.shots_)
        return [indices[position] for position in find_test_leakage(digests, alike)]

    def _kept_shot_rows(self) -> NDArray[np.float32] | None:
        rows = self._support.rows
        return (
            None if rows is None or not len(rows) else rows[:, self._row_layout.column_indices(self.heads_)]
        )

    def _detector(self, quantile: float) -> OutOfDistributionDetector:
        _ = self._fitted, self._support.known_rows()
        rows = self._kept_shot_rows()
        if rows is None:
            raise DataError("there are no shots, so nothing tells which examples are unknown")
        return OutOfDistributionDetector(quantile, self._row_layout.select(self.heads_)).fit(rows)

    def _log_proba(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        return self._voters.decision_log_proba(features)
