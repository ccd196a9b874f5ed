"""Image sets with classes, n-way and four-way: those of the paper and of HEC (arXiv 2603.24181).

One table in place of a file for each. A set ``flowers`` gives two tasks: ``flowers_n_way``, which asks HEC's
question about the domain and names no class, and ``flowers``, which names four classes in each question, as
the four-way files of the SAVs authors do for EuroSAT and Pets. Where such a file is at hand it is read;
from a folder or the hub, the other three options are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np

from savs.data import Example, Message, ReadOptions, Text, read_examples
from savs.errors import DataError
from savs.tasks import _class_names
from savs.tasks._image_folders import ImageLayout, Splits, listed_lines, renamed
from savs.tasks.task import Task

__all__ = ["IMAGE_SETS", "ImageSet", "ImageSetTask", "image_set", "image_set_tasks", "with_four_options"]

_TRAIN_AND_TEST = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """A set of images with one class each.

    Parameters
    ----------
    name : str
        Such as ``"flowers"``.
    title : str
        Name and source, for lists.
    question : str
        HEC's question about the domain.
    short : bool, default=True
        Whether HEC asks for an answer in one word.
    hub : str, optional
        Where the images and class names are on the hub, in the columns ``image`` and `hub_label`.
    splits : (str, str)
        The names of the training and the test split, there and in folders.
    hub_label : str, default="label"
        Column of the class on the hub.
    class_name : callable
        What makes a name that people say of that of a folder.
    layout : ImageLayout
        Where images lie in the set's folder.
    aliases : tuple of str
        Names of the n-way task in other programs.
    """

    name: str
    title: str
    question: str
    short: bool = True
    hub: str | None = None
    splits: tuple[str, str] = _TRAIN_AND_TEST
    hub_label: str = "label"
    class_name: Callable[[str], str] = _class_names.plain
    layout: ImageLayout = field(default_factory=ImageLayout)
    aliases: tuple[str, ...] = ()

    def read(self, source: Path | str | None, split: str | None) -> list[Example]:
        """Return the examples of a folder, of a dataset ``hf://owner/name``, or by default of the set's own.

        Parameters
        ----------
        source : Path, str or None
        split : str or None
            ``"train"``, ``"test"`` or another one that there is; None reads a folder without splits.

        Raises
        ------
        DataError
            If it cannot be read, or two classes get the same name.
        """
        wanted = dict(zip(_TRAIN_AND_TEST, self.splits, strict=True)).get(split or "", split)
        if source is None:
            if self.hub is None:
                raise DataError(f"{self.name}: no copy on the hub is known to be the set; name its folder")
            source = f"hf://{self.hub}"
        if isinstance(source, str) and source.startswith("hf://"):
            options = ReadOptions(split=wanted, image_column="image", label_column=self.hub_label)
            examples = read_examples(source, options, require_labels=True)
        else:
            examples = self.layout.read(Path(source), split, wanted)
        return renamed(examples, self.class_name)


@dataclass(frozen=True, kw_only=True)
class ImageSetTask(Task):
    """A task on an image set.

    Parameters
    ----------
    image_set : ImageSet
        The set.
    """

    image_set: ImageSet

    def read(self, file: Path | str, media_root: Path | str | None = None) -> list[Example]:
        """Return the labeled examples of an annotation file, or of a folder of images without splits.

        Parameters
        ----------
        file : Path or str
            As `Task.read` takes it; or the folder of the images.
        media_root : Path or str, optional
            The folder of the images that an annotation file names.
        """
        return self.load(file, media_root=media_root, split=None)

    def load(
        self,
        source: Path | str | None = None,
        *,
        media_root: Path | str | None = None,
        split: str | None = "test",
    ) -> list[Example]:
        """Return the labeled examples of a split; no image is opened.

        Parameters
        ----------
        source : Path or str, optional
            A folder with the set's public layout, a dataset ``hf://owner/name``, or an annotation file with
            ``image``, ``label`` and ``question``, which n-way leaves out; by default the set's copy on the
            hub.
        media_root : Path or str, optional
            The folder of the images that an annotation file names.
        split : str, optional
            ``"train"``, ``"test"`` or another one; None for a folder without splits.

        Raises
        ------
        DataError
            As `Task.read`, and if there is no such split.
        """
        if source is not None and Path(source).is_file():
            examples = super().read(source, media_root)
            if self.protocol == "four_way":  # the options say the classes as the file does
                return examples
            examples = renamed(examples, self.image_set.class_name)
            return [replace(one, messages=(Message("user", one.images),)) for one in examples]
        examples = self.image_set.read(source, split)
        if self.protocol == "four_way":
            examples = with_four_options(examples, self.image_set.question)
        return examples


def with_four_options(examples: Sequence[Example], question: str, seed: int = 0) -> list[Example]:
    r"""Return the examples with a question that names four classes, the true one among them.

    Which three others, and in which order, depends on the seed, the example's id and the classes, not on the
    other examples.

    Parameters
    ----------
    examples : sequence of Example
        With text labels, and one image each.
    question : str
        What is asked before the options.
    seed : int, default=0
        Seed of the draws.

    Raises
    ------
    DataError
        If there are fewer than four classes.

    Examples
    --------
    >>> from savs.data import as_example
    >>> names = ("ant", "bee", "cat", "dog")
    >>> photos = [as_example({"image": f"{one}.png"}, label=one, id=one) for one in names]
    >>> with_four_options(photos, "What is it?")[0].text.startswith("What is it?\nA. ")
    True
    """
    names = sorted({str(example.label) for example in examples})
    if len(names) < 4:
        raise DataError(f"four options need at least 4 classes, and there are {len(names)}")
    return [_with_options(example, question, names, seed) for example in examples]


def _with_options(example: Example, question: str, names: Sequence[str], seed: int) -> Example:
    digest = blake2b((example.id or "").encode(errors="surrogatepass"), digest_size=8).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest)])
    others = [name for name in names if name != example.label]
    drawn = [others[place] for place in rng.choice(len(others), 3, replace=False)]
    place = int(rng.integers(4))
    options = [*drawn[:place], str(example.label), *drawn[place:]]
    shown = " ".join(f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True))
    text = f"{question}\n{shown}"
    message = Message("user", (*example.images, Text(text)))
    fields = {**example.fields, "question": text, "answer": "ABCD"[place]}
    return replace(example, messages=(message,), fields=fields)


def _aircraft(folder: Path) -> Splits:
    """Return the splits of lines such as ``1025794 707-320``."""
    splits: Splits = {}
    for split in ("train", "val", "trainval", "test"):
        pairs = [line.partition(" ") for line in listed_lines(folder / f"images_variant_{split}.txt")]
        splits[split] = [(f"{number}.jpg", variant) for number, _, variant in pairs]
    return {split: rows for split, rows in splits.items() if rows}


def _pets(folder: Path) -> Splits:
    """Return the splits of lines such as ``Egyptian_Mau_1 7 1 5``."""
    files = {"train": "trainval.txt", "test": "test.txt"}
    names = {split: listed_lines(folder / "annotations" / file) for split, file in files.items()}
    images = {split: [line.partition(" ")[0] for line in lines] for split, lines in names.items()}
    return {
        split: [(f"{image}.jpg", image.rpartition("_")[0]) for image in rows]
        for split, rows in images.items()
        if rows
    }


def _cub(folder: Path) -> Splits:
    """Return the splits of CUB's two lists: ``1 001.Albatross/a.jpg``, and ``1 0`` for an image to test."""
    pairs = (line.partition(" ") for line in listed_lines(folder / "train_test_split.txt"))
    train = {number: flag for number, _, flag in pairs}
    splits: Splits = {"train": [], "test": []}
    for line in listed_lines(folder / "images.txt") if train else []:
        number, _, path = line.partition(" ")
        splits["train" if train.get(number) == "1" else "test"].append((path, path.partition("/")[0]))
    return {split: rows for split, rows in splits.items() if rows}


IMAGE_SETS: tuple[ImageSet, ...] = (
    ImageSet(
        name="imagenet",
        title="ImageNet-1k (Russakovsky et al., 2015); gated on the hub",
        question="What is the main object in this image?",
        hub="ILSVRC/imagenet-1k",
        splits=("train", "validation"),
        layout=ImageLayout(names="classnames.txt"),
    ),
    ImageSet(
        name="flowers",
        title="Oxford Flowers-102 (Nilsback and Zisserman, 2008)",
        question="What is the species of this flower?",
        short=False,
        hub="dpdl-benchmark/oxford_flowers102",
        layout=ImageLayout(images="jpg", names="cat_to_name.json"),
        aliases=("oxford_flowers", "flowers102"),
    ),
    ImageSet(
        name="cub",
        title="CUB-200-2011 (Wah et al., 2011)",
        question="What is the species of this bird?",
        hub="bentrevett/caltech-ucsd-birds-200-2011",
        class_name=_class_names.numbered,
        layout=ImageLayout(lists=_cub),
        aliases=("cu_birds",),
    ),
    ImageSet(
        name="ucf101",
        title="UCF101 (Soomro et al., 2012), the middle frame of each video",
        question="What action is the person performing in this video frame?",
        short=False,
        class_name=_class_names.words,
        layout=ImageLayout(images="UCF-101-midframes"),
    ),
    ImageSet(
        name="sun397",
        title="SUN397 (Xiao et al., 2010)",
        question="What scene is shown in this image?",
        hub="tanganke/sun397",
        class_name=_class_names.scene,
        layout=ImageLayout(images="SUN397", nested=True),
    ),
    ImageSet(
        name="caltech101",
        title="Caltech101 (Fei-Fei et al., 2004)",
        question="What is the main object in this photo?",
        short=False,
        hub="dpdl-benchmark/caltech101",
        class_name=_class_names.caltech,
        layout=ImageLayout(
            images="101_ObjectCategories", ignored=frozenset({"BACKGROUND_Google", "Faces_easy"})
        ),
    ),
    ImageSet(
        name="dtd",
        title="Describable Textures (Cimpoi et al., 2014)",
        question="What texture pattern is visible in this image?",
        short=False,
        hub="tanganke/dtd",
    ),
    ImageSet(
        name="aircraft",
        title="FGVC-Aircraft, 100 variants (Maji et al., 2013)",
        question="Name the aircraft model shown.",
        hub="Donghyun99/FGVC-Aircraft",
        layout=ImageLayout(lists=_aircraft),
        aliases=("fgvc", "fgvc_aircraft"),
    ),
    ImageSet(
        name="food101",
        title="Food-101 (Bossard et al., 2014)",
        question="What is this dish called?",
        hub="ethz/food101",
        splits=("train", "validation"),
    ),
    ImageSet(
        name="cars",
        title="Stanford Cars (Krause et al., 2013)",
        question="Which car model is shown in the image?",
        hub="tanganke/stanford_cars",
        class_name=_class_names.cars,
        layout=ImageLayout(images="."),
        aliases=("stanford_cars",),
    ),
    ImageSet(
        name="traffic_signs",
        title="GTSRB traffic signs (Stallkamp et al., 2012)",
        question="What is the type of this traffic sign?",
        hub="tanganke/gtsrb",
        class_name=_class_names.traffic_sign,
        aliases=("traffic_sign", "gtsrb"),
    ),
    ImageSet(
        name="eurosat",
        title="EuroSAT (Helber et al., 2019)",
        question="What type of remote sensing image does the given image belong to?",
        hub="tanganke/eurosat",
        class_name=_class_names.eurosat,
        layout=ImageLayout(images="2750"),
    ),
    ImageSet(
        name="pets",
        title="Oxford-IIIT Pet (Parkhi et al., 2012)",
        question="What breed is the animal in this image?",
        hub="timm/oxford-iiit-pet",
        class_name=_class_names.pets,
        layout=ImageLayout(lists=_pets),
        aliases=("oxford_pets",),
    ),
)
"""The questions are HEC's, but that of ImageNet, which it does not ask."""

# These have four-way files of the SAVs authors, and tasks in modules of their own.
_WITH_FILES = frozenset({"eurosat", "pets"})


def image_set(name: str) -> ImageSet:
    """Return a set of `IMAGE_SETS` by its name."""
    return next(one for one in IMAGE_SETS if one.name == name)


def image_set_tasks() -> list[ImageSetTask]:
    """Return the tasks of all sets: n-way, and four-way where there is none of its own yet."""
    return [task for one in IMAGE_SETS for task in _tasks(one)]


def _tasks(one: ImageSet) -> list[ImageSetTask]:
    n_way = ImageSetTask(
        name=f"{one.name}_n_way",
        prompt=f"{one.question}\nAnswer in one word." if one.short else one.question,
        protocol="n_way",
        metric="accuracy",
        origin=f"{one.title}: class folders, the split files of CoOp, or the hub",
        aliases=one.aliases,
        image_set=one,
    )
    if one.name in _WITH_FILES:
        return [n_way]
    four_way = ImageSetTask(
        name=one.name,
        prompt="\n{question} Answer with the class name.",
        protocol="four_way",
        metric="accuracy",
        origin=f"{one.title}: four-way JSON files (question, label); or folders or the hub, options drawn",
        image_set=one,
    )
    return [n_way, four_way]
