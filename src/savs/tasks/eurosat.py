"""EuroSAT (Helber et al., 2019): land use in satellite images, ten classes, four of them in each question."""

from savs.tasks.image_sets import ImageSetTask, image_set

__all__ = ["EUROSAT"]

EUROSAT = ImageSetTask(
    name="eurosat",
    prompt="\n{question} Answer with the class name.",
    protocol="four_way",
    metric="accuracy",
    origin="four-way JSON files of the SAVs authors (question, label); or folders or the hub, options drawn",
    image_set=image_set("eurosat"),
)
