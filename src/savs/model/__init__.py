"""`SAVModel`: a frozen backbone, a prompt and a head classifier in one object, on examples.

    example -> prompt -> head vectors -> head scores -> kept heads -> votes -> label

It knows neither the command line nor the server.
"""

from __future__ import annotations

from savs.model.answers import Predictions
from savs.model.caution import Caution, Cautions
from savs.model.evidence import Explanation, HeadEvidence, NearShot, Occlusion
from savs.model.multi_label import MultiLabelModel
from savs.model.sav_model import SAVModel
from savs.model.support import Suspect

__all__ = [
    "Caution",
    "Cautions",
    "Explanation",
    "HeadEvidence",
    "MultiLabelModel",
    "NearShot",
    "Occlusion",
    "Predictions",
    "SAVModel",
    "Suspect",
]
