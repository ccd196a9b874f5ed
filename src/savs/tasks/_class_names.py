"""Names of classes as people say them, from those of folders and files.

The convention is that of CoOp, Tip-Adapter and HEC (arXiv 2603.24181): underscores are blanks, numbers in
front go, and what a set's authors wrote in code (``SeaLake``, ``Faces``) is said in words.
"""

from __future__ import annotations

import re

__all__ = ["caltech", "cars", "eurosat", "numbered", "pets", "plain", "scene", "traffic_sign", "words"]

_NUMBER = re.compile(r"\d+[.]")
_WORD = re.compile(r"[A-Z][^A-Z]*")

_EUROSAT = {
    "AnnualCrop": "Annual Crop Land",
    "HerbaceousVegetation": "Herbaceous Vegetation Land",
    "Highway": "Highway or Road",
    "Industrial": "Industrial Buildings",
    "Pasture": "Pasture Land",
    "PermanentCrop": "Permanent Crop Land",
    "Residential": "Residential Buildings",
    "SeaLake": "Sea or Lake",
}
_CALTECH = {"airplanes": "airplane", "faces": "face", "leopards": "leopard", "motorbikes": "motorbike"}
# GTSRB's 43 classes by number.
_SIGNS = (
    *(f"speed limit {speed} km/h" for speed in (20, 30, 50, 60, 70, 80)),
    "end of speed limit 80 km/h",
    "speed limit 100 km/h",
    "speed limit 120 km/h",
    "no overtaking",
    "no overtaking by vehicles over 3.5 tons",
    "right of way at the next intersection",
    "priority road",
    "yield",
    "stop",
    "no vehicles",
    "no vehicles over 3.5 tons",
    "no entry",
    "general caution",
    "dangerous curve to the left",
    "dangerous curve to the right",
    "double curve",
    "bumpy road",
    "slippery road",
    "road narrows on the right",
    "road work",
    "traffic signals",
    "pedestrians",
    "children crossing",
    "bicycles crossing",
    "beware of ice or snow",
    "wild animals crossing",
    "end of all limits",
    "turn right ahead",
    "turn left ahead",
    "ahead only",
    "go straight or right",
    "go straight or left",
    "keep right",
    "keep left",
    "roundabout",
    "end of no overtaking",
    "end of no overtaking by vehicles over 3.5 tons",
)


def plain(name: str) -> str:
    """Return a name with blanks in place of underscores.

    >>> plain("apple_pie")
    'apple pie'
    """
    return " ".join(name.replace("_", " ").split())


def numbered(name: str) -> str:
    """Return a name without the number before it, as CUB's folders have.

    >>> numbered("040.Olive_sided_Flycatcher")
    'Olive sided Flycatcher'
    """
    return plain(_NUMBER.sub("", name, count=1))


def words(name: str) -> str:
    """Return a name in words, as UCF101's folders run them together.

    >>> words("ApplyEyeMakeup"), words("Apply_Eye_Makeup")
    ('Apply Eye Makeup', 'Apply Eye Makeup')
    """
    return plain(" ".join(_WORD.findall(name)) or name)


def cars(name: str) -> str:
    """Return a car's name with its year first.

    >>> cars("Acura RL Sedan 2012")
    '2012 Acura RL Sedan'
    """
    model, _, year = plain(name).rpartition(" ")
    return f"{year} {model}" if re.fullmatch(r"\d{4}", year) else plain(name)


def scene(name: str) -> str:
    """Return a scene's name from its folders: without the letter, the last one first.

    >>> scene("/a/apartment_building/outdoor"), scene("a/abbey"), scene("indoor bow_window")
    ('outdoor apartment building', 'abbey', 'indoor bow window')
    """
    folders = name.strip("/").split("/")
    if len(folders) > 1 and len(folders[0]) == 1:
        folders = folders[1:]
    return plain(" ".join(reversed(folders)))


def eurosat(name: str) -> str:
    """Return what a class of EuroSAT shows.

    >>> eurosat("SeaLake"), eurosat("River")
    ('Sea or Lake', 'River')
    """
    return _EUROSAT.get(name, plain(name))


def caltech(name: str) -> str:
    """Return the name of an object of Caltech101, in the singular.

    >>> caltech("Motorbikes"), caltech("electric_guitar")
    ('motorbike', 'electric guitar')
    """
    return _CALTECH.get(name.lower(), plain(name))


def pets(name: str) -> str:
    """Return the breed, in small letters.

    >>> pets("Egyptian_Mau")
    'egyptian mau'
    """
    return plain(name).lower()


def traffic_sign(name: str) -> str:
    """Return what a sign means, from its number or its name.

    >>> traffic_sign("00014"), traffic_sign("13"), traffic_sign("17.no_entry")
    ('stop', 'yield', 'no entry')
    """
    if name.isascii() and name.isdecimal() and int(name) < len(_SIGNS):
        return _SIGNS[int(name)]
    return numbered(name)
