"""The embedded upstream as a process: `python -m gateway.embedded --model NAME=FOLDER[+ADAPTER] … [--port P]`."""

import argparse
import sys
from pathlib import Path

from gateway.embedded.server import ModelSource, serve


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway.embedded", description="An OpenAI-compatible server in numpy."
    )
    parser.add_argument("--model", action="append", required=True, metavar="NAME=FOLDER[+ADAPTER]", type=parse_model)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=8000, type=int)
    parser.add_argument("--max-model-len", default=None, type=int)
    asked = parser.parse_args()
    models = {name: ModelSource(folder, adapter, asked.max_model_len) for name, folder, adapter in asked.model}
    serve(models, asked.host, asked.port, _announce)


def _announce(base_url: str) -> None:
    sys.stdout.write(f"embedded upstream on {base_url}\n")
    sys.stdout.flush()


def parse_model(text: str) -> tuple[str, Path, Path | None]:
    """NAME=FOLDER or NAME=FOLDER+ADAPTER.

    Raises:
        argparse.ArgumentTypeError: the text has another form.
    """
    name, separator, place = text.partition("=")
    if not (name and separator and place):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER[+ADAPTER]")
    folder, _, adapter = place.partition("+")
    return name, Path(folder), Path(adapter) if adapter else None


if __name__ == "__main__":
    main()
