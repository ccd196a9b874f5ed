"""EuroSAT (Helber et al., 2019): land use in satellite images, ten classes, four of them in each question."""

from savs.tasks.task import Task

__all__ = ["EUROSAT"]

EUROSAT = Task(
    name="eurosat",
    prompt="\n{question} Answer with the class name.",
    protocol="four_way",
    metric="accuracy",
    origin="four-way JSON files of the SAVs authors (question, label); images of EuroSAT RGB",
)
