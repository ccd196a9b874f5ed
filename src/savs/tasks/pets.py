"""Oxford-IIIT Pets (Parkhi et al., 2012): breeds of cats and dogs, four of them in each question."""

from savs.tasks.task import Task

__all__ = ["PETS"]

PETS = Task(
    name="pets",
    prompt="\n{question} Answer with the class name.",
    protocol="four_way",
    metric="accuracy",
    origin="four-way JSON files of the SAVs authors (question, label); images of Oxford-IIIT Pet",
)
