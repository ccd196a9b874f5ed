"""The report of a saved classifier needs no backbone, and says that its number comes from the shots."""

from __future__ import annotations

from pathlib import Path

import pytest

from savs import SAVModel
from savs.backbones.fake import FakeBackbone
from savs.errors import ArtifactError
from savs.reports import classifier_report, to_html
from savs.reports.content import Note, Table

WARM, COLD = ("red", "crimson", "scarlet", "orange"), ("blue", "navy", "azure", "cyan")


def _saved(folder: Path, *, keep_shots: bool, n: int = 4, **options: object) -> Path:
    model = SAVModel(FakeBackbone(), prompt="Is <b>{question}</b> warm?", **options)  # type: ignore[arg-type]
    model.fit([*WARM[:n], *COLD[:n]], ["<i>warm</i>"] * n + ["cold"] * n)
    model.save_pretrained(folder, keep_shots=keep_shots)
    return folder


def test__classifier__estimate__is_said_to_come_from_the_shots(tmp_path: Path) -> None:
    folder = _saved(tmp_path / "c", keep_shots=True, n_heads=8)
    found = classifier_report(folder)
    saved = SAVModel.from_pretrained(folder).estimate_
    assert saved is not None
    assert found.headline is not None
    assert (found.headline.value, found.headline.low) == (saved.accuracy, saved.interval[0])
    assert found.warning.startswith("Estimated on the shots themselves")
    text = to_html(found)
    assert "Estimated on the shots themselves" in text
    assert "<i>warm" not in text
    assert "&lt;i&gt;warm" in text


def test__classifier__label_issues__are_those_of_the_model(tmp_path: Path) -> None:
    model = SAVModel(FakeBackbone(), method="kernel_ridge")
    model.fit([*WARM, *COLD], ["warm"] * 4 + ["cold"] * 4)
    model.save_pretrained(tmp_path / "c", keep_shots=True)
    issues = model.find_label_issues()
    (block,) = next(
        one for one in classifier_report(tmp_path / "c").sections if one.title == "Suspect labels"
    ).blocks
    if issues:
        assert isinstance(block, Table)
        assert [row[0].text for row in block.rows] == [one.id for one in issues]
    else:
        assert isinstance(block, Note)
        assert block.text == "No shot has most of the heads against its label."


def test__classifier__rows_not_kept__names_the_option(tmp_path: Path) -> None:
    found = classifier_report(_saved(tmp_path / "c", keep_shots=False, n_heads=8))
    (block,) = next(one for one in found.sections if one.title == "Suspect labels").blocks
    assert isinstance(block, Note)
    assert block.command == "savs fit ... --keep-shots"


def test__classifier__one_shot_per_class__claims_no_number(tmp_path: Path) -> None:
    found = classifier_report(_saved(tmp_path / "c", keep_shots=True, n=1, method="kernel_ridge"))
    assert found.headline is None
    assert found.warning == "There is no estimate of accuracy: no class has two shots."
    to_html(found)


def test__folder_without_a_classifier__is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        classifier_report(tmp_path / "nothing")
