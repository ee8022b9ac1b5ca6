"""The examples of docs/consuming.md, for the tests that run them."""

from __future__ import annotations

import re

from support import ROOT

_PAGE = ROOT / "docs/consuming.md"


def example(language: str, *, of: str) -> str:
    """The example in `language` that contains the text `of`."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if of in block]
    return str(found)
