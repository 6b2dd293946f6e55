"""Makers of files that no reader may trust: one function a way to be malformed."""

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

TRACE = "KERAS_CONVNEXT_TEST_WAS_RUN"


class Calls:
    """Pickles to a call of a function when unpickled."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


def torch_zip(path: Path, content: bytes, *, compressed: bool = False) -> None:
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/data/0", NUMBERS.tobytes())
        archive.writestr("archive/version", "3\n")


NUMBERS = np.arange(4, dtype=np.float32)
# A tensor's name that would write on a terminal in red, and on a line of its own.
CONTROL = "a\x1b[31m\rred\u202e"


def tensor_pickle(
    shape: str, *, strides: str = "", offset: int = 0, key: str = "0"
) -> bytes:
    """Writes, opcode by opcode, what torch pickles for one tensor called "a".

    Args:
        shape: Instructions that push the shape's numbers.
        strides: The same for the strides; the shape's if empty.
        offset: Where in the storage it begins.
        key: Name of the storage.
    """
    push = {
        "4": b"K\x04",
        "1": b"K\x01",
        "0": b"K\x00",
        "huge": b"\x8a\x05" + b"\0\0\0\0\x10",
    }
    push |= {"-1": b"J\xff\xff\xff\xff"}
    tuples = [
        b"(" + b"".join(push[word] for word in text.split()) + b"t"
        for text in (shape, strides or "1")
    ]
    return b"".join(
        (
            b"\x80\x02}X\x01\0\0\0a",
            b"ctorch._utils\n_rebuild_tensor_v2\n(",
            b"(X\x07\0\0\0storagectorch\nFloatStorage\n",
            b"X" + struct.pack("<I", len(key)) + key.encode(),
            b"X\x03\0\0\0cpuK\x04tQ",
            b"K" + bytes([offset]),
            *tuples,
            b"\x89NtRs.",
        )
    )


def safetensors_header(path: Path, header: object, data: bytes = b"\0" * 64) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def make_npz(path: Path, header: bytes, data: bytes = b"") -> None:
    magic = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", magic + header + data)


def headless(path: Path) -> None:
    torch_zip(path, tensor_pickle("4"))
    path.write_bytes(b"PK\x03\x04" + path.read_bytes()[100:])


def npz_header(shape: str, descr: str = "<f4") -> bytes:
    return (
        f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    )


def h5_external_link(path: Path) -> None:
    with h5py.File(path.with_suffix(".other"), "w") as other:
        other["a"] = NUMBERS
    with h5py.File(path, "w") as file:
        file["a"] = h5py.ExternalLink(str(path.with_suffix(".other")), "/a")


def h5_soft_link(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["a"] = h5py.SoftLink("/nowhere")


def h5_external_data(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (4,), "f4", external=[("/etc/hostname", 0, 16)])


def h5_virtual(path: Path) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "a", (4,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("a", layout)


def h5_control_characters(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file[CONTROL] = NUMBERS


def numbered(path: Path, count: int) -> None:
    """Writes numbers under names that a network of very many blocks would have."""
    names = [f"stages.0.blocks.{number}.gamma" for number in range(count)]
    header = {name: entry([], 4 * at, 4 * at + 4) for at, name in enumerate(names)}
    safetensors_header(path, header, bytes(4 * count))


def h5_circle(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("a")["b"] = file["/"]


def h5_unknown_float(path: Path) -> None:
    """Writes numbers in a format that numpy has none for: an exponent of 23 bits."""
    number = h5py.h5t.IEEE_F32LE.copy()
    number.set_fields(31, 8, 23, 0, 8)
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file.id, b"a", number, space)


def h5_absurd(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("stem_conv/kernel", (1 << 40,), "f4", chunks=(1024,))


def zip_of(names: dict[str, bytes]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in names.items():
                archive.writestr(name, content)

    return make


def torch_of(content: object, protocol: int = 2) -> Callable[[Path], None]:
    return lambda path: torch_zip(path, pickle.dumps(content, protocol))


def deep(depth: int) -> tuple:
    item: tuple = ()
    for _ in range(depth):
        item = (item, item)
    return item


MAKERS: dict[str, Callable[[Path], object]] = {
    "empty.pth": lambda path: path.touch(),
    "text.pth": lambda path: path.write_text("<html>404</html>"),
    "zeros.h5": lambda path: path.write_bytes(bytes(4096)),
    "magic_only.h5": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"),
    "magic_only.pth": lambda path: path.write_bytes(b"PK\x03\x04"),
    "noise.keras": lambda path: path.write_bytes(b"PK\x03\x04" + os.urandom(999)),
    "noise.h5": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + os.urandom(999)),
    # Pickles that do something.
    "os_system.pth": torch_of({"a": Calls(os.system, f"touch /tmp/{TRACE}")}),
    "os_system_4.pth": torch_of({"a": Calls(os.system, f"touch /tmp/{TRACE}")}, 4),
    "eval.pth": torch_of(Calls(eval, "__import__('os').environ.update(x='y')")),
    "function.pth": torch_of({"a": os.getcwd}),
    "object.pth": torch_of({"a": Path("x")}),
    "legacy_os_system.pth": lambda path: path.write_bytes(
        pickle.dumps(Calls(os.system, f"touch /tmp/{TRACE}"), 2)
    ),
    "legacy_late_os_system.pth": lambda path: path.write_bytes(
        b"".join(
            pickle.dumps(part, 2)
            for part in (
                0x1950A86A20F9469CFC6C,
                1001,
                {"little_endian": True},
                Calls(os.system, f"touch /tmp/{TRACE}"),
            )
        )
    ),
    "not_torch.pth": lambda path: path.write_bytes(pickle.dumps({"a": 1}, 2)),
    # Hashing this key takes as many steps as there are paths through it: 2**60.
    "hash_bomb.pth": lambda path: torch_zip(
        path, b"\x80\x02}" + pickle.dumps(deep(60), 2)[2:-1] + b"K\x01s."
    ),
    "no_tensors.pth": torch_of({"epoch": 3}),
    "list.pth": torch_of([1, 2, 3]),
    "cut_pickle.pth": lambda path: torch_zip(path, tensor_pickle("4")[:40]),
    "stack_underflow.pth": lambda path: torch_zip(path, b"\x80\x02tttR."),
    "unknown_memo.pth": lambda path: torch_zip(path, b"\x80\x02h\x09."),
    "absurd_shape.pth": lambda path: torch_zip(path, tensor_pickle("huge")),
    "negative_shape.pth": lambda path: torch_zip(path, tensor_pickle("-1")),
    "beyond_storage.pth": lambda path: torch_zip(path, tensor_pickle("4", offset=9)),
    "repeated_zero_stride.pth": lambda path: torch_zip(
        path, tensor_pickle("huge", strides="0")
    ),
    "missing_storage.pth": lambda path: torch_zip(path, tensor_pickle("4", key="7")),
    "compressed.pth": lambda path: torch_zip(path, tensor_pickle("4"), compressed=True),
    # Zip files that lead somewhere, or unpack to more than they are.
    "traversal.pth": zip_of({"archive/data.pkl": b".", "../../etc/cron.d/x": b"x"}),
    "absolute.npz": zip_of({"/etc/x.npy": b"x"}),
    "bomb.pth": zip_of({"archive/data.pkl": bytes(200_000_000)}),
    "bomb.keras": zip_of({"config.json": bytes(200_000_000), "model.weights.h5": b"x"}),
    "bomb.npz": lambda path: make_npz(
        path, npz_header("(50000000,)"), bytes(200_000_000)
    ),
    # The front of the archive is gone, so that its members begin before it does.
    "headless.pth": headless,
    "other.zip": zip_of({"readme.txt": b"hello"}),
    "config.keras": zip_of({"config.json": b"[]", "model.weights.h5": b"x"}),
    "absurd.npz": lambda path: make_npz(path, npz_header("(1099511627776,)")),
    "negative.npz": lambda path: make_npz(path, npz_header("(-4,)")),
    "objects.npz": lambda path: make_npz(path, npz_header("(1,)", "|O"), b"N."),
    "header.npz": lambda path: make_npz(path, b"{'descr': exit()}\n"),
    # safetensors whose header lies.
    "long_header.safetensors": lambda path: path.write_bytes(
        struct.pack("<Q", 1 << 40) + b"{}"
    ),
    "not_json.safetensors": lambda path: safetensors_header(path, b"{nonsense"),
    "overlap.safetensors": lambda path: safetensors_header(
        path, {"a": entry([8], 0, 32), "b": entry([8], 16, 48)}
    ),
    "beyond.safetensors": lambda path: safetensors_header(
        path, {"a": entry([8], 0, 32), "b": entry([8], 32, 640)}
    ),
    "absurd.safetensors": lambda path: safetensors_header(
        path, {"a": entry([1 << 40, 1 << 40], 0, 64)}
    ),
    "wrong_length.safetensors": lambda path: safetensors_header(
        path, {"a": entry([3], 0, 64)}
    ),
    "unknown_type.safetensors": lambda path: safetensors_header(
        path, {"a": entry([16], 0, 64, "Q99")}
    ),
    # Very many names, and names that a terminal would obey.
    "numbered.safetensors": lambda path: numbered(path, 9_990),
    "very_many.safetensors": lambda path: numbered(path, 20_000),
    "long_name.safetensors": lambda path: safetensors_header(
        path, {"a" * 1000: entry([16], 0, 64)}
    ),
    "control.safetensors": lambda path: safetensors_header(
        path, {CONTROL: entry([16], 0, 64)}
    ),
    "control.npz": lambda path: np.savez(path, **{CONTROL: NUMBERS}),
    "control.h5": h5_control_characters,
    "control.pth": torch_of({CONTROL: Path("x")}),
    "control_member.npz": zip_of({f"{CONTROL}.npy": b"x"}),
    # HDF5 that points elsewhere.
    "external_link.h5": h5_external_link,
    "soft_link.h5": h5_soft_link,
    "external_data.h5": h5_external_data,
    "virtual.h5": h5_virtual,
    "circle.h5": h5_circle,
    "absurd.h5": h5_absurd,
    "unknown_float.h5": h5_unknown_float,
}
# Good files of every format, which are cut at random places.
