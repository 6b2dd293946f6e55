"""Shows the `Example:` of a docstring as code in the site's reference.

mkdocstrings reads docstrings with Griffe, which knows the section as `Examples:` and
takes `Example:` for a note in Markdown.
"""

import re
from typing import Any

import griffe


class DocstringExamples(griffe.Extension):
    """Renames the section before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Renames the section in the docstring of one function, class or module."""
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", text, flags=re.M)
