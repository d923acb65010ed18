"""Writes docs/canaries.md from the tables of paths and sinks; the page says how it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.leaks.paths import ALL, LOCKED, ON_REDIS
from tests.leaks.sinks import SINKS
from tests.leaks.stage import RELEASED
from tests.leaks.words import FORMS

PLACES: Final = """\
prompts, system messages, names, descriptions and properties of tools, file names, stop strings, fields and their
names, headers and their names, query strings, paths, tokens' claims, keys' ids, end users' assertions, bodies of
administration, policies; upstream answers, frames and errors"""
PAGE: Final = Path(__file__).parents[2] / "docs" / "canaries.md"


def page() -> str:
    return TEXT.format(
        paths="\n".join(f"| {at} | {path.name} | {path.ends} |" for at, path in enumerate(ALL, start=1)),
        sinks="\n".join(f"| {sink} | {what} |" for sink, what in SINKS.items()),
        forms="; ".join(FORMS),
        places=PLACES,
        released=", ".join(sorted(RELEASED)),
        count=len(ALL),
        sqlite=len(ALL) - len(LOCKED) - 1,
        redis=len(ON_REDIS) + 1,
        both=len(ON_REDIS) - len(LOCKED),
    )


TEXT: Final = """# Nothing of what was said lies anywhere: the proof

Made by `PYTHONPATH=clients/python python -m tests.leaks.page` from the tables that the tests walk; a test holds the two
in step.

A canary is a word that occurs nowhere else. Each of the {count} paths below is walked through a real gateway process
in front of a model server that says what the path wants, and each has words of its own, one for each place: a word that
turns up somewhere says by which path it came there and from where. The places:
{places}.

Every request carries all that fits of it, every answer of the model server has words in its ids and names, in what may
be released and in a value that may not. Then every sink is searched for all the words, in any letter case, whole or
broken up by the ends of lines, in these forms: {forms}.

What may be found is what a model said and nothing was wrong with, in the answer to whoever asked on that path and in no
encoded form ({released}); whom a revocation names, in the store and in the list of revocations
([state.md](state.md#revoking)); and whose a receipt is, in the receipt. Configuration files are what an operator
writes; they are not searched.

The same run is made to leak: a part of the process prints a request as base64 on standard output, in hex on standard
error, and writes it backwards into a temporary file that has no name any more; the search must find these three and no
others. A line more in what was read from any sink has to be found, plain, in hex and broken in two, and so does one
that is added to a log, a table of the store, or Redis.

`python -m pytest tests/leaks` does all of this; `make test-vllm` searches what vLLM prints, started with the flags of
the tests: of what it is asked that is the name of a model that it does not know, and the gateway sends it no name but
those of its configuration.

## Paths

{sqlite} of them on SQLite, with the records in a directory, in one process; {redis}, {both} of these for a second time,
on Redis, with records that are encrypted and a listener that speaks TLS, in a process that is then killed.

| | path | how it ends |
| --- | --- | --- |
{paths}

## Sinks

| sink | what is searched |
| --- | --- |
{sinks}
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
