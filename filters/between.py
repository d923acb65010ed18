"""What can stand before each word of a text without being one: the number of a list, a tag, an entity, an escape.

"1. She 2. rings 3. late" and "<b>She</b> <b>rings</b>" say what "She rings late" does. Whoever looks for words in their
order reads a text both ways.
"""

from __future__ import annotations

import re

_BETWEEN = re.compile(
    r"(?<!\S)[(\[]?(?:\d{1,3}|[A-Za-z](?=[.)\]:]))(?:[.)\]:：、]{1,2}|(?!\S))|</?[A-Za-z][^<>\n]{0,40}>"
    r"|&(?:[a-z]{2,6}|#x?[0-9A-Fa-f]{1,6});|\\[nrt]|%(?:20|0[ADad9])"
)


def bare(raw_text: str) -> str:
    """The text with spaces in these places; of the same length."""
    return _BETWEEN.sub(lambda match: " " * len(match.group()), raw_text)
