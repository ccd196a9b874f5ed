"""Oxford-IIIT Pets (Parkhi et al., 2012): breeds of cats and dogs, four of them in each question."""

from dataclasses import replace

from savs.tasks.image_sets import ImageSetTask, image_set

__all__ = ["PETS"]

PETS = ImageSetTask(
    name="pets",
    prompt="\n{question} Answer with the class name.",
    protocol="four_way",
    metric="accuracy",
    origin="four-way JSON files of the SAVs authors (question, label); or folders or the hub, options drawn",
    # The question of these files.
    image_set=replace(image_set("pets"), question="What type of animal is in the image?"),
)
