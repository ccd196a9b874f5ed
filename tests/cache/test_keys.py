from __future__ import annotations

import hashlib
import io
import json
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as PILImage

from savs.artifact import IDENTITY
from savs.backbones import FakeBackbone
from savs.backbones._identity import RECORDED_ONLY, without_names
from savs.backbones._rendering import Rendered
from savs.cache._keys import feature_key, feature_keys, store_identity
from savs.data import Example, Message, Text
from savs.errors import MediaError
from savs.media import Audio, Image, MediaLimits

IDENTITY_OF_A_MODEL = {
    "model_class": "Lmm",
    "config_digest": "c",
    "weights_digest": "w",
    "commit": "1",
    "processor_digest": "p",
    "dtype": "float32",
}


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    PILImage.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


PIXELS = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


def key(text="Is it red?", images=(PIXELS,), special=True, limits=None, **changes) -> bytes:
    rendered = Rendered(text, tuple(Image(image) for image in images), special)
    options = {} if limits is None else {"limits": limits}
    return feature_key(rendered, IDENTITY_OF_A_MODEL | changes, **options)


def test__fault_28__everything_that_decides_the_vectors__changes_the_key():
    image = PILImage.fromarray(PIXELS)
    others = [
        key(text="Is it blue?"),
        key(images=()),
        key(images=(PIXELS, PIXELS)),
        key(images=(PIXELS[::-1].copy(),)),
        key(special=False),
        key(limits=MediaLimits(background=(0, 0, 0))),
        key(images=(png(PIXELS),)),
        key(images=(image,)),
        *[key(**{name: "other"}) for name in IDENTITY_OF_A_MODEL],
        key(commit=None),
    ]
    assert len({key(), *others}) == len(others) + 1
    assert all(len(value) == 32 for value in others)


def test__fault_28__same_pixel_bytes_of_another_size_mode_or_type__other_keys():
    flat = np.arange(48, dtype=np.uint8)
    images = [
        PILImage.frombytes("L", (8, 6), flat.tobytes()),
        PILImage.frombytes("L", (6, 8), flat.tobytes()),
        PILImage.frombytes("P", (8, 6), flat.tobytes()),
        PILImage.frombytes("RGB", (4, 4), flat.tobytes()),
        flat.reshape(6, 8),
        flat.reshape(8, 6),
        flat.reshape(4, 4, 3),
        flat.reshape(6, 8).view(np.int8),
    ]
    assert len({key(images=(image,)) for image in images}) == len(images)


def test__fault_28__order_and_borders__are_part_of_the_key():
    other = PIXELS + 1
    assert key(images=(PIXELS, other)) != key(images=(other, PIXELS))
    assert key(text="ab", dtype="c") != key(text="b", dtype="ca")


def test__file_and_its_bytes__same_key(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(png(PIXELS))
    (tmp_path / "copy.png").write_bytes(png(PIXELS))
    assert key(images=(path,)) == key(images=(png(PIXELS),)) == key(images=(tmp_path / "copy.png",))


def test__unreadable_image__error_alone_none_among_others(tmp_path):
    gone = tmp_path / "gone.png"
    with pytest.raises(MediaError):
        key(images=(gone,))
    examples = [
        Example((Message("user", (Image(gone), Text("x"))),)),
        Example((Message("user", (Text("x"),)),)),
    ]
    assert [value is None for value in feature_keys(FakeBackbone(), examples)] == [True, False]


def test__fault_28__id_label_and_columns__are_not_in_the_key():
    backbone, messages = FakeBackbone(), (Message("user", (Text("x"),)),)
    examples = [
        Example(messages, label="a", id="1", fields={"c": 1}),
        Example(messages, label="b", id="2"),
        Example((Message("system", (Text("x"),)), Message("user", (Text("x"),)))),
    ]
    first, second, third = feature_keys(backbone, examples)
    assert first == second != third
    assert feature_keys(FakeBackbone(seed=1), examples[:1]) != [first]


def test__audio_clip__the_key_of_earlier_versions_unless_it_was_read_wrongly():
    form = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    data = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", 8) + bytes(range(8))
    wav = b"RIFF" + struct.pack("<I", 44) + data
    keys = [
        feature_key(Rendered("x", (), True, audios=(Audio(source),)), {"a": 1}).hex()
        for source in (wav, b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + wav)
    ]
    assert keys[0] == "0316df91555ffd6c9197287163568c7f41f693fad0dfb1a4585d97f55fd35cba"
    # Its end was lost under this one.
    assert keys[1] != "7e314e403d920f79b4413da2cf7ac4e253eb9e244da662cc9a751b6f57ddf418"


def test__fault_28__another_process__same_key():
    code = (
        "from savs.backbones.fake import FakeBackbone; from savs.cache._keys import feature_keys; "
        "from savs.data import Example, Message, Text; "
        "print(feature_keys(FakeBackbone(), [Example((Message('user', (Text('x'),)),))])[0].hex())"
    )
    seeds = ("1", "2")
    out = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in seeds
    }
    here = feature_keys(FakeBackbone(), [Example((Message("user", (Text("x"),)),))])[0]
    assert out == {here.hex() + "\n"}


def test__key__what_a_classifier_must_agree_on_and_nothing_recorded_only():
    fingerprint = dict.fromkeys([*IDENTITY, "skipped", "something new"], "x")
    recorded = dict.fromkeys(RECORDED_ONLY, "y")
    without_files = recorded | {"config_file_digest": None, "processor_files_digest": None}
    assert not set(IDENTITY) & RECORDED_ONLY
    identity = store_identity(fingerprint | without_files)
    assert without_names(identity).keys() == fingerprint.keys()
    by_files = without_names(store_identity(fingerprint | recorded))
    made_of_files = {"model_class", "config_digest", "skipped", "processor_class", "processor_digest"}
    files = {"config_file_digest", "processor_files_digest"}
    assert by_files.keys() == (fingerprint.keys() - made_of_files - {"video_digest"}) | files
    assert without_names(by_files) == by_files


def key_of(*images: Image) -> bytes:
    return feature_key(Rendered("what?", images, True), IDENTITY_OF_A_MODEL)


def test__fault_28__named_bit_depth__part_of_the_key():
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    keys = {key_of(Image(values, bit_depth=depth)) for depth in (None, 10, 12)}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("format", "mode", "changed"),
    [
        ("PNG", "RGB", False),
        ("PNG", "L", False),
        ("JPEG", "RGB", False),
        ("WEBP", "RGB", False),
        ("GIF", "L", False),
        ("PNG", "I;16", True),
        ("TIFF", "L", True),
        ("BMP", "RGB", True),
    ],
)
def test__fault_28__files_that_savs_once_read_otherwise__keys_of_their_own(format, mode, changed, tmp_path):
    """A store from before must not serve what was computed from other pixels; all other rows stay valid."""
    file = io.BytesIO()
    PILImage.new(mode, (8, 8)).save(file, format)
    (tmp_path / "file").write_bytes(file.getvalue())
    former = hashlib.sha256(file.getvalue()).hexdigest()
    digest = hashlib.sha256()
    spelled = json.dumps(IDENTITY_OF_A_MODEL, sort_keys=True, separators=(",", ":")).encode()
    for field in (b"savs features 1", spelled, b"\xff\xff\xff", b"what?", b"special tokens", former.encode()):
        digest.update(f"{len(field)} ".encode() + field)
    keys = {key_of(Image(file.getvalue())), key_of(Image(tmp_path / "file"))}
    assert len(keys) == 1
    assert (keys == {digest.digest()}) is not changed
    with PILImage.open(tmp_path / "file") as opened:
        assert key_of(Image(opened)) not in {digest.digest(), *keys}
