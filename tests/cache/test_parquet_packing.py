from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from savs.cache import FeatureStore
from savs.cache._parquet import DTYPES, STORED, pack, unpack
from savs.layout import HeadLayout

LAYOUT = HeadLayout.from_layers([(0, 1, 2), (3, 2, 1)])
SHAPE = (5, 4)
half_bits = hnp.arrays(np.uint16, SHAPE, elements=st.integers(0, 2**16 - 1))
single_bits = hnp.arrays(np.uint32, SHAPE, elements=st.integers(0, 2**32 - 1))
HOSTILE = [0x80000000, 1, 0x7F800001, 0xFFC12345, 0x7F800000, 0x007FFFFF, 0x7FA00000, 0xFF800000]


def widened_half(bits: int) -> int:
    """Return the float32 bits of a float16, by the definition of both formats."""
    sign, exponent, fraction = bits >> 15, (bits >> 10) & 31, bits & 1023
    if exponent == 31:
        return sign << 31 | 0x7F800000 | fraction << 13
    if exponent:
        return sign << 31 | (exponent + 112) << 23 | fraction << 13
    value = (-1.0) ** sign * fraction * 2.0**-24
    return int(np.float32(value).view(np.uint32)) if fraction else sign << 31


def unpacked(stored: np.ndarray, dtype: str) -> np.ndarray:
    out = np.empty(stored.shape, np.float32)
    unpack(stored, dtype, out)
    return out


def test__float16__every_bit_pattern__widened_by_definition_and_back():
    bits = np.arange(2**16, dtype=np.uint16).reshape(-1, 256)
    wide = unpacked(bits.view(np.float16), "float16")
    expected = np.array([widened_half(int(b)) for b in bits.ravel()], dtype=np.uint32).reshape(bits.shape)
    assert np.array_equal(wide.view(np.uint32), expected)
    assert np.array_equal(pack(wide, "float16").view(np.uint16), bits)
    assert np.array_equal(pack(bits.view(np.float16), "float32").view(np.uint32), expected)


def test__bfloat16__every_bit_pattern__upper_half_of_a_float32():
    bits = np.arange(2**16, dtype=np.uint16).reshape(-1, 256)
    wide = unpacked(bits, "bfloat16")
    assert np.array_equal(wide.view(np.uint32), bits.astype(np.uint32) << 16)
    assert np.array_equal(pack(wide, "bfloat16"), bits)
    assert pack(bits, "bfloat16") is bits


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@settings(max_examples=50, deadline=None)
@given(bits=single_bits)
def test__narrow__any_float32__exact_or_refused(dtype, bits):
    values = bits.view(np.float32)
    if all(holds(int(b), dtype) for b in bits.ravel()):
        assert np.array_equal(unpacked(pack(values, dtype), dtype).view(np.uint32), bits)
    else:
        with pytest.raises(ValueError, match=dtype):
            pack(values, dtype)


def holds(bits: int, dtype: str) -> bool:
    if dtype == "bfloat16":
        return bits & 0xFFFF == 0
    value = np.uint32(bits).view(np.float32)
    if np.isnan(value):
        return bits & 0x1FFF == 0
    with np.errstate(all="ignore"):
        back = np.float32(np.float16(value))
    return int(back.view(np.uint32)) == bits


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=10, deadline=None)
@given(half=half_bits, single=single_bits)
def test__store_round_trip__any_bits__same_bits(dtype, half, single, tmp_path_factory):
    single.ravel()[: len(HOSTILE)] = HOSTILE
    stored = single.view(np.float32) if dtype == "float32" else half.view(STORED[dtype])
    values = unpacked(stored, dtype)
    folder = tmp_path_factory.mktemp("store")
    keys = [bytes([index]) * 32 for index in range(SHAPE[0])]
    with FeatureStore.open(folder, {}, LAYOUT, dtype=dtype) as store:
        store.append(keys[:2], values[:2])
        store.append(keys[2:], stored[2:])
        waiting = store.get(keys).features
    kept = FeatureStore.existing(folder).get(keys)
    assert kept.found.all()
    assert np.array_equal(kept.features.view(np.uint32), values.view(np.uint32))
    assert np.array_equal(waiting.view(np.uint32), values.view(np.uint32))


@pytest.mark.parametrize(
    ("value", "dtype"), [(0.1, "bfloat16"), (0.1, "float16"), (1e6, "float16"), (1e-9, "float16")]
)
def test__inexact_value__refused_naming_the_row(value, dtype):
    values = np.zeros((3, 2), np.float32)
    values[1, 1] = value
    with pytest.raises(ValueError, match=f"row 1 .* {dtype}"):
        pack(values, dtype)


@pytest.mark.parametrize(("given_type", "dtype"), [("f8", "float32"), ("u2", "float16"), ("f2", "bfloat16")])
def test__other_type__refused(given_type, dtype):
    with pytest.raises(TypeError, match=dtype):
        pack(np.zeros((1, 1), given_type), dtype)
