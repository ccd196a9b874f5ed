"""Head vectors are a plain array: search the number of heads and plug other scikit-learn estimators in.

python examples/head_vectors_with_sklearn.py
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from savs import SAVClassifier, draw_shots, load_backbone, read_examples
from savs.demo.data import PHOTO_FOLDER


def main() -> None:
    """Cross-validate two classifiers on the head vectors of 60 photographs."""
    shots, _ = draw_shots(read_examples(PHOTO_FOLDER), shots=20, seed=0)
    backbone = load_backbone("tiny")
    features = backbone.extract(shots).features  # float32 (n_examples, width)
    labels = np.array([shot.label for shot in shots])

    search = GridSearchCV(SAVClassifier(layout=backbone.layout), {"n_heads": [5, 20, 60]}, cv=4)
    search.fit(features, labels)
    print(f"SAVs with {search.best_params_['n_heads']} heads: {search.best_score_:.1%}")

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    print(f"logistic regression on all heads: {cross_val_score(probe, features, labels, cv=4).mean():.1%}")


if __name__ == "__main__":
    main()
