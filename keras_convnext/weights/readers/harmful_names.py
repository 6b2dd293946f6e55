"""Names in a pickle that nobody keeps beside weights but who means harm.

Nothing that a pickle names is imported, so that these are only refused to say what the
file is: settings and scores beside the tensors are passed over, and a file that would
run a command in another program should not look like a good one here.
"""

from __future__ import annotations

_MODULES = frozenset(
    [
        "asyncio",
        "bdb",
        "code",
        "codeop",
        "commands",
        "ctypes",
        "ftplib",
        "http",
        "importlib",
        "marshal",
        "multiprocessing",
        "nt",
        "ntpath",
        "os",
        "pdb",
        "pickle",
        "pip",
        "platform",
        "posix",
        "posixpath",
        "pty",
        "pydoc",
        "runpy",
        "shelve",
        "shutil",
        "signal",
        "smtplib",
        "socket",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "timeit",
        "trace",
        "urllib",
        "webbrowser",
        "zipimport",
    ]
)
_BUILTINS = frozenset({"builtins", "__builtin__"})
_HARMLESS_BUILTINS = frozenset(
    [
        "bool",
        "bytearray",
        "bytes",
        "complex",
        "dict",
        "float",
        "frozenset",
        "int",
        "list",
        "long",
        "object",
        "range",
        "set",
        "slice",
        "str",
        "tuple",
        "type",
        "unicode",
        "xrange",
    ]
)


def is_harmful(module: str, name: str) -> bool:
    """Whether a name of a pickle is of what could do harm.

    Args:
        module: "os.path".
        name: Of something in it.
    """
    if module in _BUILTINS:
        return name not in _HARMLESS_BUILTINS
    return module.partition(".")[0] in _MODULES
