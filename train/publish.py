"""Put a run's checkpoint and its model card on the Hugging Face hub: `python -m train.publish runs/it owner/name`."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from diffdemo.atomic import write_atomically
from diffdemo.catalog import ON_THE_HUB
from diffdemo.errors import RequestError, TrainingError, reason
from diffdemo.records.commands import shell_line
from train.cards import CARD, card_of
from train.flags import run_app
from train.install import install, verified


def publish(run: Path, name: str, encoding: str | None = None, private: bool = False) -> str:
    """Upload what `train.install` would install, and its card, as one commit; return where it can be looked at.

    The repository is made if it is not there. Files of earlier commits that have no successor stay in it; the
    description names those that count. HF_TOKEN, or `hf auth login`, says who one is.

    Args:
        name: "owner/name" of the repository.
        encoding: "int8", which None is but for the classifier, or "fp16".
        private: whether a repository that is made now is to be seen by its owner alone.

    Raises:
        CheckpointError: `run` holds no checkpoint, or a damaged one.
        RequestError: there is no such encoding, or `name` is none.
        TrainingError: the hub refuses it, or cannot be reached; nothing is changed there then.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    if not ON_THE_HUB.fullmatch(name) or "@" in name:
        raise RequestError(f"A repository on the hub is called owner/name, not {name!r}.")
    info = verified(run)
    with tempfile.TemporaryDirectory(prefix="diffdemo-") as place:
        folder = install(run, Path(place) / info.key, encoding)
        write_atomically(folder / CARD, lambda path: path.write_text(card_of(folder, verified(folder), name), "utf-8"))
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        try:
            api = HfApi()
            api.create_repo(name, private=private, exist_ok=True)
            added = [CommitOperationAdd(path, file) for path, file in files.items()]
            api.create_commit(name, added, commit_message=f"{info.key}, {info.parameters:,} parameters")
        except Exception as error:  # its own, or those of the library that it speaks HTTP with, which changes
            raise TrainingError(
                f"{name} cannot be published ({reason(error)}); check the name and HF_TOKEN."
            ) from error
    return f"{api.endpoint}/{name}"


def main(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run, or another checkpoint.")],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the hub; it is made if need be.")],
    weights: Annotated[
        str | None,
        typer.Option(
            help="Upload them as int8 or fp16, which takes twice the room.  [default: int8; fp16 of a classifier]"
        ),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Show a new repository to its owner alone.")] = False,
) -> None:
    """Upload a run's checkpoint with its model card, so that others load it by name."""
    print(f"Published at {publish(run, name, weights, private)}. To sample from it:")
    print(f"  {shell_line(['python', '-m', 'diffdemo', 'sample', '--model', name, '--out', 'sample.png'])}")


if __name__ == "__main__":
    run_app(main)
