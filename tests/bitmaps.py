"""BMP and PNG files put together byte by byte, in kinds that Pillow does not write."""

import struct
import zlib

import numpy as np

# Bits of a color, lowest bit of red, green and blue, and bits of a pixel.
LAYOUTS = {
    "rgbx": (8, (0, 8, 16), 32),
    "bgrx": (8, (16, 8, 0), 32),
    "xbgr": (8, (24, 16, 8), 32),
    "ten bits": (10, (20, 10, 0), 32),
    "four bits": (4, (8, 4, 0), 16),
    "five bits": (5, (10, 5, 0), 16),
}


def bmp(levels: np.ndarray, layout: str, header_bytes: int = 40) -> bytes:
    """Returns a BMP with bit masks.

    Args:
        levels: Red, green and blue `(height, width, 3)`, as wide as the layout says.
        layout: One of `LAYOUTS`.
        header_bytes: 40, or 108 (version 4) or 124 (version 5).
    """
    bits, lowest, pixel_bits = LAYOUTS[layout]
    masks = struct.pack("<3I", *((2**bits - 1) << low for low in lowest))
    values = sum(
        levels[..., n].astype(np.uint32) << low for n, low in enumerate(lowest)
    )
    return raw_bmp(values.astype(f"<u{pixel_bits // 8}"), 3, masks, header_bytes)


def raw_bmp(
    values: np.ndarray, compression: int, behind: bytes = b"", header_bytes: int = 40
) -> bytes:
    """Returns a BMP of pixels `(height, width)`, and what stands between the two."""
    height, width = values.shape
    rows = [row.tobytes() for row in reversed(values)]
    pixels = b"".join(row + bytes(-len(row) % 4) for row in rows)
    fields = (header_bytes, width, height, 1, 8 * values.itemsize, compression)
    header = (
        struct.pack("<IiiHHI", *fields) + struct.pack("<I", len(pixels)) + bytes(16)
    )
    rest = (header + behind).ljust(header_bytes, b"\0")
    start = 14 + len(rest)
    return struct.pack("<2sIII", b"BM", start + len(pixels), 0, start) + rest + pixels


def png16(levels: np.ndarray, color_type: int) -> bytes:
    """Returns a PNG of 16 bits a color.

    Args:
        levels: uint16 `(height, width, channels)`.
        color_type: 0 gray, 2 RGB, 4 gray with alpha, 6 RGB with alpha.
    """
    height, width, _ = levels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    return png(width, height, 16, color_type, zlib.compress(rows))


def png(width: int, height: int, bits: int, color_type: int, packed: bytes) -> bytes:
    """Returns a PNG of rows that zlib has packed, a zero before each."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", packed)
        + chunk(b"IEND", b"")
    )
