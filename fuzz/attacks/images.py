"""Pictures that lie about their size, end too early, are something else, or hold what no reader expects."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib

from PIL import Image

__all__ = ["attacks"]

_PNG = b"\x89PNG\r\n\x1a\n"


def attacks() -> dict[str, bytes]:
    """Return the files by name."""
    return {**_valid(), **_png(), **_jpeg(), **_gif(), **_tiff(), **_others(), **_no_pictures()}


def _picture(size: tuple[int, int] = (12, 8), mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", size)
    image.putdata([(x * 9 % 256, x * 5 % 256, x % 256) for x in range(size[0] * size[1])])
    return image.convert(mode)


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _valid() -> dict[str, bytes]:
    # Pillow leaves the settings of one encoder in the picture, where the next one stumbles over them.
    pair = {"save_all": True, "append_images": [_picture(mode="L").convert("RGB")]}
    pages = {"save_all": True, "append_images": [_picture(mode="L").convert("RGB")]}
    plain = _picture()
    return {
        "valid.png": _encoded(plain, "PNG"),
        "valid-palette.png": _encoded(plain.quantize(16), "PNG", transparency=3),
        "valid-16-bit.png": _encoded(_sixteen(), "PNG"),
        "valid.jpg": _encoded(plain, "JPEG"),
        "valid-progressive.jpg": _encoded(plain, "JPEG", progressive=True),
        "valid-cmyk.jpg": _encoded(plain.convert("CMYK"), "JPEG"),
        "valid-mpo.jpg": _encoded(_picture(), "MPO", **pair),
        "valid.webp": _encoded(plain, "WEBP"),
        "valid-animated.webp": _encoded(plain, "WEBP", **pages),
        "valid.gif": _encoded(plain, "GIF"),
        "valid-animated.gif": _encoded(plain, "GIF", **pages),
        "valid-animated.png": _encoded(plain, "PNG", **pages),
        "valid.bmp": _encoded(plain, "BMP"),
        "valid.tiff": _encoded(plain, "TIFF"),
        "valid-deflate.tiff": _encoded(plain, "TIFF", compression="tiff_adobe_deflate"),
        "valid-lzw.tiff": _encoded(plain, "TIFF", compression="tiff_lzw"),
        "valid-jpeg.tiff": _encoded(plain, "TIFF", compression="jpeg"),
        "valid-pages.tiff": _encoded(_picture(), "TIFF", **pages),
        "valid-float.tiff": _encoded(plain.convert("L").convert("F"), "TIFF"),
    }


def _sixteen() -> Image.Image:
    return Image.frombytes("I;16", (12, 8), bytes(range(192)))


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a PNG chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """Return a PNG of these chunks between header and end."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return _PNG + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IEND", b"")


def bomb(width: int, height: int) -> bytes:
    """Return a black-and-white PNG: a bit for each pixel, a thousandth of that in the file."""
    rows = zlib.compress(bytes(((width + 7) // 8 + 1) * height), 9)
    return png(width, height, chunk(b"IDAT", rows), depth=1, colour=0)


def _png() -> dict[str, bytes]:
    rows = chunk(b"IDAT", zlib.compress(bytes((12 * 3 + 1) * 8)))
    text = zlib.compress(bytes(8 * 2**20), 9)
    return {
        "bomb-81-megapixels.png": bomb(9000, 9000),
        "bomb-at-the-limit.png": bomb(7200, 7200),
        "bomb-beyond-pillow.png": bomb(13400, 13400)[:6000],
        "bomb-2-to-the-31.png": png(2**31 - 1, 2**31 - 1, rows),
        "bomb-in-a-text-chunk.png": png(12, 8, chunk(b"zTXt", b"k\0\0" + text), rows),
        "bomb-in-a-colour-profile.png": png(12, 8, chunk(b"iCCP", b"k\0\0" + text), rows),
        "one-by-5000.png": _encoded(_picture((1, 5000)), "PNG"),
        "one-by-one.png": _encoded(_picture((1, 1)), "PNG"),
        "5000-by-8.png": _encoded(_picture((5000, 8)), "PNG"),
        "no-size.png": png(0, 0, rows),
        "no-rows.png": png(12, 8),
        "accepted-too-few-rows.png": png(12, 800, rows),
        "accepted-wrong-checksum.png": png(12, 8, rows[:-4] + b"abcd"),
        "chunk-of-4-gigabytes.png": png(12, 8)[:33] + b"\xff\xff\xff\xffIDAT" + bytes(20),
        "ends-in-the-header.png": png(12, 8, rows)[:20],
        "accepted-ends-in-the-rows.png": png(12, 8, rows)[:60],
        "accepted-palette-without-colours.png": png(
            12, 8, chunk(b"IDAT", zlib.compress(bytes(13 * 8))), colour=3
        ),
        "accepted-transparency-too-long.png": png(12, 8, chunk(b"tRNS", bytes(900)), rows),
        "accepted-animation-of-4-billion-frames.png": png(12, 8, chunk(b"acTL", b"\xff" * 8), rows),
        "frame-outside.png": png(
            12, 8, chunk(b"acTL", bytes([0, 0, 0, 2, 0, 0, 0, 0])), chunk(b"fcTL", b"\x7f" * 26), rows
        ),
        "accepted-exif-of-garbage.png": png(12, 8, chunk(b"eXIf", b"MM\0*" + b"\xff" * 60), rows),
        "accepted-50-000-chunks.png": png(12, 8, chunk(b"tEXt", b"a\0b") * 50_000, rows),
    }


def _jpeg() -> dict[str, bytes]:
    whole = _encoded(_picture((40, 30)), "JPEG")
    start = whole.index(b"\xff\xc0") + 5
    wide = whole[:start] + b"\xff\xff\xff\xff" + whole[start + 4 :]
    loop = b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x8769, 4, 1, 8) + struct.pack("<I", 8)
    exif = b"Exif\0\0" + loop
    app1 = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    return {
        "half.jpg": whole[: len(whole) // 2],
        "first-bytes.jpg": whole[:3],
        "size-65535.jpg": wide,
        "size-0.jpg": whole[:start] + bytes(4) + whole[start + 4 :],
        "accepted-exif-that-points-to-itself.jpg": whole[:2] + app1 + whole[2:],
        "accepted-orientation-of-text.jpg": whole[:2] + _orientation(b"\x02", b"ABC\0") + whole[2:],
        "accepted-orientation-99.jpg": whole[:2] + _orientation(b"\x03", b"\x63\0\0\0") + whole[2:],
        "accepted-1000-comments.jpg": whole[:2] + b"\xff\xfe\0\x04ab" * 1000 + whole[2:],
        "without-tables.jpg": whole.replace(b"\xff\xdb", b"\xff\xfe").replace(b"\xff\xc4", b"\xff\xfe"),
    }


def _orientation(kind: bytes, value: bytes) -> bytes:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01" + kind + b"\0\x01\0\0\0" + value + bytes(4)
    return b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif


def _gif() -> dict[str, bytes]:
    whole = _encoded(_picture(), "GIF")
    return {
        "no-frames.gif": b"GIF89a\x0c\0\x08\0\0\0\0;",
        "frame-larger-than-the-screen.gif": whole.replace(
            b",\0\0\0\0\x0c\0\x08\0", b",\0\0\0\0\xff\xff\xff\xff"
        ),
        "frame-outside-the-screen.gif": whole.replace(b",\0\0\0\0", b",\xff\xff\xff\xff"),
        "screen-65535.gif": whole[:6] + b"\xff\xff\xff\xff" + whole[10:],
        "accepted-10-000-frames.gif": _encoded(_picture(), "GIF")[:-1] + _frame() * 10_000 + b";",
        "code-size-255.gif": b"GIF89a\x0c\0\x08\0\0\0\0,\0\0\0\0\x0c\0\x08\0\0\xff\x02\x44\x01\0;",
        "endless-extension.gif": b"GIF89a\x0c\0\x08\0\0\0\0!\xfe" + b"\x01a" * 4000,
    }


def _frame() -> bytes:
    return b",\0\0\0\0\x0c\0\x08\0\0\x02\x02\x4c\x01\0"


def _tiff() -> dict[str, bytes]:
    def directory(*entries: tuple[int, int, int, int], after: int = 0) -> bytes:
        body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
        return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + struct.pack("<I", after)

    plain = [(256, 4, 1, 12), (257, 4, 1, 8), (258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    strip = [(273, 4, 1, 8), (279, 4, 1, 96)]
    return {
        "accepted-directory-that-follows-itself.tiff": directory(*plain, *strip, after=8) + bytes(100),
        "strips-elsewhere.tiff": directory(*plain, (273, 4, 1, 2**31), (279, 4, 1, 96)),
        "4-billion-strips.tiff": directory(*plain, (273, 4, 2**32 - 1, 8), (279, 4, 2**32 - 1, 8))
        + bytes(96),
        "accepted-tag-of-4-gigabytes.tiff": directory(*plain, *strip, (700, 7, 2**32 - 1, 8)) + bytes(96),
        "size-2-to-the-31.tiff": directory(
            (256, 4, 1, 2**31 - 1), (257, 4, 1, 2**31 - 1), *plain[2:], *strip
        ),
        "255-samples.tiff": directory(*plain[:4], (277, 3, 1, 255), *strip) + bytes(96),
        "unknown-compression.tiff": directory(*plain, (259, 3, 1, 50001), *strip) + bytes(96),
        "no-entries.tiff": directory(),
        "first-bytes.tiff": b"II*\0",
        "big-tiff-far-away.tiff": b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63 - 1),
        "size-of-text.tiff": directory((256, 2, 4, 0x61616161), *plain[1:], *strip) + bytes(96),
    }


def _others() -> dict[str, bytes]:
    bmp, webp = _encoded(_picture(), "BMP"), _encoded(_picture(), "WEBP")
    return {
        "size-2-to-the-31.bmp": bmp[:18] + struct.pack("<ii", 2**31 - 1, 2**31 - 1) + bmp[26:],
        "negative-size.bmp": bmp[:18] + struct.pack("<ii", -12, -(2**31)) + bmp[26:],
        "header-of-0-bytes.bmp": bmp[:14] + bytes(4) + bmp[18:],
        "run-lengths-past-the-end.bmp": bmp[:28] + b"\x08\0\x01\0\0\0" + bmp[34:54] + b"\xff\x01" * 500,
        "palette-of-4-billion.bmp": bmp[:28] + b"\x08\0" + bmp[30:46] + b"\xff" * 4 + bmp[50:],
        "size-16384.webp": b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f" + bytes(9),
        "half.webp": webp[: len(webp) // 2],
        "canvas-2-to-the-24.webp": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + b"\xff" * 6,
        "riff-of-sound.webp": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + bytes(28),
    }


def _no_pictures() -> dict[str, bytes]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(100_000))
    return {
        "empty.jpg": b"",
        "one-byte.png": b"\x89",
        "html.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 8\n(/etc/passwd) run\n",
        "photoshop.png": b"8BPS\0\x01" + bytes(6) + b"\0\x03" + struct.pack(">II", 8, 12) + b"\0\x08\0\x03",
        "fits.jpg": b"SIMPLE  =                    T" + b" " * 2850,
        "heic.jpg": b"\0\0\0\x18ftypheic" + bytes(40),
        "zip.png": archive.getvalue(),
        "pickle.png": pickle.dumps({"a": 1}, 4),
        "text.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
    }
