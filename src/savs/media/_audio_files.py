"""Whether an audio file is whole, by its own lengths: its decoder reads what is left of a damaged one.

In reading order: tags in front, the kinds of files, chunks (WAV, RF64, AIFF, AU), OGG, and MP3. Nothing here
decodes. FLAC files are checked where they are decoded.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass

from savs.errors import MediaError
from savs.media.limits import MediaWarning

__all__ = [
    "conversion_of",
    "cut_short",
    "format_error",
    "has_later_end",
    "n_samples_of_layers_1_and_2",
    "readable",
    "undecodable_audio",
    "whole",
]

_ADVICE = "convert it to WAV or FLAC (ffmpeg -i FILE file.wav)"


def undecodable_audio() -> MediaError:
    """Return the error for bytes that are not an audio clip, or a damaged one."""
    return MediaError(
        "the audio clip cannot be decoded: it is damaged, cut short or no audio file; write it again",
        code="audio_undecodable",
    )


def cut_short() -> MediaError:
    """Return the error for a file that ends too soon."""
    return MediaError(
        "the audio clip's file ends before the audio clip does; fetch or write it again",
        code="audio_cut_short",
    )


def has_later_end() -> MediaError:
    """Return the error for a file that has more than its header says."""
    return MediaError(
        "the audio clip's file goes on behind the end that its header gives, as after a recording that was "
        "not closed; write it again",
        code="audio_length",
    )


def several() -> MediaError:
    """Return the error for files put together."""
    return MediaError(
        "the file holds several recordings one behind the other, of which only the first would be heard; "
        "join them (ffmpeg -i FILE file.wav)",
        code="audio_several",
    )


def format_error(kind: str) -> MediaError:
    """Return the error for a kind of file or coding that is not read."""
    return MediaError(f"the audio clip is {kind}, which is not read; {_ADVICE}", code="audio_format")


# Tags in front of a file: libsndfile would subtract them from the end.

_APE_HEAD = 32


def _without_tags(data: bytes) -> bytes:
    """Return a file without the ID3 and APE tags in front of it, and the zeros behind them."""
    place = 0
    while True:
        if data[place : place + 3] == b"ID3":
            place = _after_id3(data, place)
        elif data[place : place + 8] == b"APETAGEX":
            place += _APE_HEAD + int.from_bytes(data[place + 12 : place + 16], "little")
        else:
            return data[place:] if place else data
        while data[place : place + 1] == b"\0":
            place += 1


def _after_id3(data: bytes, place: int) -> int:
    """Return where an ID3 tag ends (ID3v2.4, section 3.1)."""
    sizes = zip(data[place + 6 : place + 10], (21, 14, 7, 0), strict=False)
    has_footer = data[place + 5 : place + 6] != b"" and data[place + 5] & 0x10
    return place + 10 + sum((byte & 0x7F) << shift for byte, shift in sizes) + (10 if has_footer else 0)


_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")


# The kinds of files that are read, by their first bytes.


_OTHER_KINDS = frozenset(
    {b"\x1aE\xdf\xa3", b"0&\xb2u", b"caff", b"riff", b"BW64", b"RIFX", b"NIST", b"MThd", b"#!AM"}
)


def _check_kind(data: bytes) -> None:
    """Refuse what is not an audio file of a kind that is read, from its first bytes.

    Raises
    ------
    MediaError
        ``audio_format`` or ``audio_undecodable``.
    """
    head = data[:12]
    if head[4:8] == b"ftyp":
        raise format_error("in an MP4 file (M4A, AAC)")
    if head[:2] in (b"\xff\xf1", b"\xff\xf9"):
        raise format_error("in an AAC file")
    if head[:4] in _OTHER_KINDS:
        raise format_error("in a file of another kind (WebM, WMA, CAF, W64, BW64, RIFX, SPHERE, MIDI, AMR)")
    if not _is_known(head):
        raise undecodable_audio()


def _is_known(head: bytes) -> bool:
    if head[:4] in (b"RIFF", b"RF64"):
        return head[8:12] == b"WAVE"
    if head[:4] == b"FORM":
        return head[8:12] in (b"AIFF", b"AIFC")
    return _frame(head, 0) is not None or head[:4] in (b"fLaC", b"OggS", b".snd")


def whole(data: bytes) -> bytes:
    """Check that a file has all the bytes that it says it has, no more, and no second clip behind the first.

    Returns
    -------
    bytes
        The file without tags in front, and MPEG audio without the WAV file around it.

    Raises
    ------
    MediaError
        ``audio_cut_short``, ``audio_length``, ``audio_several``, ``audio_undecodable``, or ``audio_format``
        for a kind that is not read or a header that contradicts itself.
    """
    data = _without_tags(data)
    _check_kind(data)
    _check_whole(data)
    if data[:4] in (b"RIFF", b"RF64"):
        samples, form = _samples(data)
        if int.from_bytes(form[:2], "little") in _MPEG_IN_WAV:
            data = _without_tags(data[samples.start : samples.start + samples.size])
            if data[:1] != b"\xff":
                raise undecodable_audio()
            _check_whole(data)
    return data


_MPEG_IN_WAV = (0x50, 0x55)  # layers I and II, and III (RFC 2361)


def _check_whole(data: bytes) -> None:
    if data[:4] == b"OggS":
        _check_ogg(data)
    elif data[:4] == b"fLaC":
        # The mark, and the head of the first block, which has always the same length (RFC 9639, section 8).
        if data.find(b"fLaC\0\0\0\x22", 4) >= 0 or data.find(b"fLaC\x80\0\0\x22", 4) >= 0:
            raise several()
    elif data[:1] == b"\xff":
        _check_mpeg(data)
    else:
        _check_chunks(data)


def conversion_of(data: bytes) -> int:
    """Return the version of the rules by which a file is read: 1 where every version of savs reads the same.

    2 for those whose end was once lost: with a tag in front, or with lengths that are not right. 3 for those
    that once began with a header as silence.
    """
    try:
        inner = whole(data)
    except MediaError:
        return 2
    if inner[:1] == b"\xff" and inner[_VBRI : _VBRI + 4] == b"VBRI":
        return 3
    is_guessed = inner[:1] == b"\xff" and not _stated(inner[:64])
    return 1 if inner is data and not is_guessed else 2


# WAV, RF64, AIFF and AU: chunks, of which one holds the samples.

_UNKNOWN = 0x7FFFF000  # what programs write that do not know the length yet: this or more
_MOST_CHUNKS = 100_000
_SMALL_REST = 1024  # bytes of anything behind the samples that are let pass
_HEADS = (b"RIFF", b"RF64", b"FORM", b".snd")


@dataclass(frozen=True)
class _Samples:
    """Where the samples of a file begin, how many bytes it says there are, and where this can be seen."""

    start: int = 0
    size: int = 0
    order: str = ""


def _check_chunks(data: bytes) -> None:
    samples, form = _samples(data)
    if not samples.start or samples.size >= _UNKNOWN or (data[:4] == b"FORM" and samples.size == 0):
        return
    end = samples.start + samples.size
    if end > len(data):
        raise cut_short()
    if data[:4] == b"FORM":
        _check_aiff(data, samples, form)
    rests = {end, end + samples.size % 2 if samples.order else end}
    if any(data[place : place + 4] in _HEADS for place in rests):
        raise several()
    if not any(_is_explained(data, place, samples.order) for place in rests):
        raise has_later_end()


def _samples(data: bytes) -> tuple[_Samples, bytes]:
    """Return the samples, and the chunk that says of which form they are."""
    if data[:4] == b".snd" and len(data) >= 12:
        return _Samples(*struct.unpack_from(">II", data, 4)), b""
    order, wanted = ("<", b"data") if data[:4] in (b"RIFF", b"RF64") else (">", b"SSND")
    place, form = 12, b""
    for _ in range(_MOST_CHUNKS):
        if place + 8 > len(data):
            break
        name = data[place : place + 4]
        (size,) = struct.unpack_from(f"{order}I", data, place + 4)
        if name == wanted:
            return _Samples(place + 8, _long_size(data) if data[:4] == b"RF64" else size, order), form
        if name in (b"fmt ", b"COMM"):
            form = data[place + 8 : place + 8 + size]
        if name == b"fmt ":
            _check_format(form)
        place += 8 + size + size % 2
    return _Samples(), b""


def _check_format(chunk: bytes) -> None:
    """Refuse a WAV header that gives two sizes of a sample: readers differ in which one they believe."""
    if len(chunk) < 16:
        return
    coding, channels, _, _, align, bits = struct.unpack_from("<HHIIHH", chunk)
    # PCM, floats, A-law, mu-law, and their extensible form.
    if coding in (1, 3, 6, 7, 0xFFFE) and align and align != channels * -(-bits // 8):
        raise format_error(f"of {bits} bits in {align} bytes for {channels} channels, a contradiction")


def _long_size(data: bytes) -> int:
    """Return the bytes of samples of an RF64 file, which its first chunk holds (EBU Tech 3306)."""
    if data[12:16] != b"ds64" or len(data) < 36:
        return _UNKNOWN
    size = int.from_bytes(data[28:36], "little")
    return _UNKNOWN if size >= 2**63 else size


def _check_aiff(data: bytes, samples: _Samples, form: bytes) -> None:
    """Raise `MediaError` if an AIFF header states more samples than there are, or much fewer.

    `form` is the content of the chunk COMM: channels, samples, bits, sampling rate; in AIFC, the coding.
    """
    if form[18:22] not in (b"", b"NONE"):
        return
    channels, n_samples, bits = (int.from_bytes(form[i:j], "big") for i, j in ((0, 2), (2, 6), (6, 8)))
    offset = int.from_bytes(data[samples.start : samples.start + 4], "big")
    stated, there = n_samples * channels * -(-bits // 8), samples.size - 8 - offset
    if stated > there:
        raise cut_short()
    end = samples.start + samples.size
    # Zero stands where the number is not known; a block may be filled up with zeros.
    if stated and there - stated >= _SMALL_REST and data[end - there + stated : end].strip(b"\0"):
        raise has_later_end()


def _is_explained(data: bytes, place: int, order: str) -> bool:
    """Return whether what stands behind the samples is little, tags, zeros, or whole chunks."""
    while len(data) - place >= _SMALL_REST and not data.startswith(_TAGS, place):
        if not data[place:].strip(b"\0"):
            return True
        name = data[place : place + 4]
        if not order or not name.isascii() or not name.decode().isprintable():
            return False
        if name in (b"data", b"SSND"):
            raise several()
        (size,) = struct.unpack_from(f"{order}I", data, place + 4)
        place += 8 + size + size % 2
    return place <= len(data) + 1  # the last byte, which makes a length even, is often missing


# OGG: pages with checksums and numbers. Decoders leave damaged and missing ones out silently.

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_HEAD, _SUM = 27, 22  # bytes of a page's head, and where its checksum stands in it (RFC 3533, section 6)
_BEGINS, _ENDS = 2, 4  # flags of a page
_OGG_CODINGS = (b"\x01vorbis", b"OpusHead")


def _check_ogg(data: bytes) -> None:
    """Check every page; what stands behind the last one is not looked at."""
    next_number: dict[bytes, int] = {}
    is_open: dict[bytes, bool] = {}
    place, header, is_read = 0, True, False
    while place + _HEAD <= len(data) and data[place : place + 4] == b"OggS":
        body = place + _HEAD + data[place + _HEAD - 1]
        end = body + sum(data[place + _HEAD : body])
        if end > len(data) or body > len(data):
            raise cut_short()
        flags, stream = data[place + 5], data[place + 14 : place + 18]
        # All streams that are played together begin before one of them goes on (RFC 3533, section 4).
        if flags & _BEGINS and not header:
            raise several()
        header = header and bool(flags & _BEGINS)
        is_read |= bool(flags & _BEGINS) and data.startswith(_OGG_CODINGS, body)
        number = int.from_bytes(data[place + 18 : place + 22], "little")
        expected = next_number.get(stream, number)
        if number != expected or _checksum(data[place:end]) != data[place + _SUM : place + _SUM + 4]:
            raise undecodable_audio()
        next_number[stream], is_open[stream] = number + 1, not flags & _ENDS
        place = end
    if not is_read:
        raise format_error("of another coding than Vorbis and Opus in an OGG file (FLAC, Speex)")
    if data.find(b"OggS", place) >= 0:
        raise cut_short() if place + _HEAD > len(data) else undecodable_audio()
    if any(is_open.values()):
        warnings.warn(
            "an OGG audio file has no end mark: it may be cut short, or recorded from a stream",
            MediaWarning,
            stacklevel=2,
        )


def _checksum(page: bytes) -> bytes:
    # zlib has the same polynomial for bits in the other order, and turns the number over before and after.
    blank = page[:_SUM] + bytes(4) + page[_SUM + 4 :]
    turned = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{turned:032b}"[::-1], 2).to_bytes(4, "little")


# MP3 and its elder layers: frames one behind the other, without a table of them.

_RATES = (44_100, 48_000, 32_000)
_KBITS = {  # by version (1, and 2 with 2.5) and layer: ISO/IEC 11172-3, 2.4.2.3, and 13818-3, 2.4.2.3
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


_VBRI = 36  # where a header of Fraunhofer's encoders stands in the first frame


@dataclass(frozen=True)
class _Frame:
    """The head of an MPEG audio frame: what all frames of a clip have in common, and its length in bytes."""

    version: int
    layer: int
    rate: int
    length: int

    @property
    def clip(self) -> tuple[int, int, int]:
        return self.version, self.layer, self.rate


def _frame(data: bytes, place: int) -> _Frame | None:
    if len(data) < place + 4 or data[place] != 0xFF or data[place + 1] & 0xE0 != 0xE0:
        return None
    second, third = data[place + 1], data[place + 2]
    version_bits, layer_bits, rate_bits = second >> 3 & 3, second >> 1 & 3, third >> 2 & 3
    if version_bits == 1 or layer_bits == 0 or rate_bits == 3 or third >> 4 == 15:
        return None
    version, layer = (1 if version_bits == 3 else 2), 4 - layer_bits
    rate = _RATES[rate_bits] // {3: 1, 2: 2, 0: 4}[version_bits]
    bits = 1000 * _KBITS[version, layer][third >> 4]
    padding = third >> 1 & 1
    if layer == 1:
        return _Frame(version, layer, rate, (12 * bits // rate + padding) * 4)
    return _Frame(version, layer, rate, (72 if (version, layer) == (2, 3) else 144) * bits // rate + padding)


@dataclass(frozen=True)
class _Frames:
    """The frames of an MPEG audio file: how many hold sound, where they end, how many there should be."""

    n_frames: int
    end: int
    stated: int | None


def _frames(data: bytes) -> _Frames:
    """Walk over the frames from the first one to the last that follows without a gap.

    Raises
    ------
    MediaError
        ``audio_format`` if the frames have no length of their own (free format).
    """
    first = _frame(data, 0)
    if first is None:
        raise undecodable_audio()
    if data[2] >> 4 == 0:
        raise format_error("an MP3 file of free format")
    place = n_frames = 0
    head: _Frame | None = first
    while head is not None and head.clip == first.clip and head.length:
        n_frames += 1
        place += head.length
        head = _frame(data, place)
    stated = _stated(data[:64])
    return _Frames(n_frames - (stated is not None), place, stated)


def _stated(frame: bytes) -> int | None:
    """Return how many frames the header in the first frame says there are; 0: not said; None: no header."""
    if frame[_VBRI : _VBRI + 4] == b"VBRI":  # which writers count in different ways, and decoders play
        return 0
    place = max(frame.find(b"Xing"), frame.find(b"Info"))
    if place < 0 or place + 12 > len(frame):
        return None
    flags, number = struct.unpack_from(">II", frame, place + 4)
    return number if flags & 1 else 0


def _check_mpeg(data: bytes) -> None:
    found = _frames(data)
    if found.end > len(data) or found.n_frames < (found.stated or 0):
        raise cut_short()
    if _more_frames(data, found.end):
        raise several() if data.startswith(_TAGS, found.end) else undecodable_audio()
    if found.stated and found.n_frames > found.stated:
        raise several() if _header_inside(data, found.end) else has_later_end()


def _more_frames(data: bytes, place: int) -> bool:
    """Return whether two frames stand one behind the other somewhere behind the place."""
    first = _frame(data, 0)
    while (place := data.find(b"\xff", place)) >= 0:
        head = _frame(data, place)
        if head is not None and first is not None and head.length and head.layer == first.layer:
            after = _frame(data, place + head.length)
            if after is not None and after.clip == head.clip:
                return True
        place += 1
    return False


def _header_inside(data: bytes, end: int) -> bool:
    return max(data.find(b"Xing\0\0\0", 64, end), data.find(b"Info\0\0\0", 64, end)) >= 0


def readable(data: bytes) -> bytes:
    """Return a checked file as its decoder needs it.

    MP3 files get a header with their length: without one libsndfile guesses it, and reads no more than that.
    OGG files lose what stands behind the last page, on which libsndfile fails.
    """
    if data[:4] == b"OggS":
        place = data.rfind(b"OggS")
        table = place + _HEAD
        lengths = data[table : table + data[table - 1]]
        return data[: table + len(lengths) + sum(lengths)]
    first = _frame(data, 0)
    if data[:1] != b"\xff" or first is None or first.layer != 3:
        return data
    found = _frames(data)
    if found.stated:
        return data
    body = data[_frame_length(data) :] if found.stated == 0 else data
    # The first frame's head, at the lowest rate that leaves room for the header, without a checksum.
    mono = data[3] >> 6 == 3
    start = 4 + ((17 if mono else 32) if first.version == 1 else (9 if mono else 17))
    second = data[1] | 1
    for rate in range(1, 15):
        head = bytes([0xFF, second, rate << 4 | data[2] & 0x0C, data[3]])
        made = _frame(head, 0)
        if made is not None and made.length >= start + 12:
            header = b"Info" + struct.pack(">II", 1, found.n_frames)
            return (head + bytes(start - 4) + header).ljust(made.length, b"\0") + body
    return data


def n_samples_of_layers_1_and_2(data: bytes) -> int:
    """Return how many samples a file of MPEG layer I or II has, which have no header for it; 0 for others."""
    first = _frame(data, 0)
    if data[:1] != b"\xff" or first is None or first.layer == 3:
        return 0
    return _frames(data).n_frames * (384 if first.layer == 1 else 1152)


def _frame_length(data: bytes) -> int:
    head = _frame(data, 0)
    return 0 if head is None else head.length
