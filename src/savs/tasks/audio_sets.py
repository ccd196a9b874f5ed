"""CALM's audio tasks (arXiv 2602.07077): sounds among four options, and genuine or spoofed speech.

Their public code reads lists of ``wav``, ``question``, ``answer`` (a letter), ``mapped_label`` and
``options``. Four options are named in each question: an accuracy on ESC-50 is four-way, not fifty-way.
"""

from __future__ import annotations

from savs.tasks.named_labels import NamedLabelsTask

__all__ = ["AUDIO_SETS"]

_PROMPT = "{question} Answer with the class name."
_COLUMNS = {"audio_column": "wav", "label_column": "mapped_label"}
_LISTS = "JSON lists as CALM's code makes and reads them (wav, question, mapped_label)"


def _sounds(name: str, title: str, *aliases: str) -> NamedLabelsTask:
    return NamedLabelsTask(
        name=name,
        prompt=_PROMPT,
        protocol="four_way",
        metric="accuracy",
        origin=f"{title}: {_LISTS}",
        read_options=_COLUMNS,
        aliases=aliases,
    )


def _spoofing(name: str, title: str, *aliases: str) -> NamedLabelsTask:
    return NamedLabelsTask(
        name=name,
        prompt=_PROMPT,
        protocol="two_classes",
        metric="equal_error_rate",
        origin=f"{title}: {_LISTS}",
        labels=("bonafide", "spoof"),
        # The names that CALM's code takes for the two.
        label_names={
            **dict.fromkeys(("bonafide", "genuine", "real", "authentic"), "bonafide"),
            **dict.fromkeys(("spoof", "fake", "synthetic", "artificial"), "spoof"),
        },
        positive="spoof",
        read_options=_COLUMNS,
        aliases=aliases,
    )


AUDIO_SETS = (
    _sounds("esc50", "ESC-50 (Piczak, 2015)", "esc_mcq"),
    _sounds("vggsound", "VGGSound (Chen et al., 2020)", "vgg_sound_qa"),
    _sounds("audioset", "AudioSet (Gemmeke et al., 2017)"),
    _spoofing("la_spoof", "ASVspoof 2019 LA (Wang et al., 2020)", "LA_spoof"),
    _spoofing("mlaad", "MLAAD (Müller et al., 2024)"),
)
