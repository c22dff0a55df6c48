"""A model folder becomes a repository of the Hugging Face hub, with a card that says what the folder knows."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genreline.errors import CheckpointError, first_line
from genreline.fetch.hub import HubAddress, parse_address, push_files
from genreline.files import write_text
from genreline.train.folder import DESCRIPTION, Description, read_description, shipped_folder

CARD = "README.md"
_FIGURES = ("f1_macro", "accuracy", "loss")
_TAGS = ["music", "music-genre-classification"]
_NO_HEADER = "---\nlibrary_name: genreline\n---\n\n"


def push_model(
    name_or_folder: str | Path, repository: str, license: str | None = None, private: bool | None = None
) -> HubAddress:
    """Push a model's description, weights, graph if it has one, and card to `owner/name`, and give the new commit.

    Args:
        license: the model's, as the hub abbreviates it (`mit`, `cc-by-4.0`). Default: that in the header
            of the folder's README.md; the project's for a model that ships; else none is stated.
        private: see `push_files`.

    Raises:
        CheckpointError: no such model, a damaged folder, or a README.md whose header cannot be read.
        GenrelineError: see `push_files`.
    """
    described = read_description(name_or_folder)
    paths = [described.folder / DESCRIPTION, described.weights()]
    if described.graph_digest is not None:
        paths.append(described.graph())
    with tempfile.TemporaryDirectory() as temporary:
        card = Path(temporary) / CARD
        write_text(card, hub_card(described, repository, license))
        return push_files({path.name: path for path in (*paths, card)}, repository, private)


def hub_card(described: Description, repository: str, license: str | None = None) -> str:
    """The model's card: a header for the hub, and the folder's README.md, or else what model.json tells.

    Figures are those that the folder holds; the header has those of the validation set and the test set.

    Raises:
        CheckpointError: the README.md has a header that cannot be read.
    """
    import yaml
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    path = described.folder / CARD
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else _body(described, repository)
        card = ModelCard(text if text.startswith("---\n") else f"{_NO_HEADER}{text}", ignore_metadata_errors=True)
        header = card.data.to_dict()  # type: ignore[no-untyped-call]
        tags = [*header.get("tags", []), *_TAGS, *(["onnx"] if described.graph_digest else [])]
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: its header cannot be read ({first_line(error)}); mend or remove it") from error
    results = [
        EvalResult(
            task_type="audio-classification",
            dataset_type="audiofolder",
            dataset_name=f"the {split} set of its own data",
            dataset_split=split,
            dataset_revision=str(described.content["data_digest"]) or None,
            metric_type=metric,
            metric_name=f"{metric_name}, by second",
            metric_value=figures[key],
        )
        for split, figures in _figures(described).items()
        for metric, metric_name, key in (("f1", "macro F1", "f1_macro"), ("accuracy", "accuracy", "accuracy"))
    ]
    ours: dict[str, Any] = {"library_name": "genreline", "pipeline_tag": "audio-classification", "tags": tags}
    if stated := license or header.get("license") or _license_of(described):
        ours["license"] = stated
    if results:
        ours |= {"model_name": repository, "eval_results": results}
    header.pop("model-index", None)  # the figures of an earlier push
    return f"---\n{ModelCardData(**{**header, **ours}).to_yaml()}\n---\n{card.text}"


def _license_of(described: Description) -> str | None:
    """The license of a model that ships is the project's."""
    return "mit" if described.folder.parent == shipped_folder() else None


def _figures(described: Description) -> dict[str, Mapping[str, float]]:
    """The figures of the validation and the test set of the model's data, as far as its folder holds them."""
    found = {split: described.metrics.get(split) for split in ("val", "test")}
    return {
        split: figures
        for split, figures in found.items()
        if isinstance(figures, Mapping) and all(isinstance(figures.get(key), float) for key in _FIGURES)
    }


def _body(described: Description, repository: str) -> str:
    """A card for a folder without one."""
    classes, network = ", ".join(described.classes), described.content["config"]["model"]["name"]
    rows = [
        f"| {split} | {figures['f1_macro']:.3f} | {figures['accuracy']:.3f} | {figures['loss']:.3f} |"
        for split, figures in _figures(described).items()
    ]
    return "\n".join(
        [
            f"# {repository.rpartition('/')[2]}",
            "",
            f"Tells {classes} apart, a second at a time, from {described.features} (network: `{network}`).",
            "",
            "    pip install 'genreline[hub]'",
            f"    genreline predict song.mp3 --model {parse_address(f'hf://{repository}')}",
            "",
            "By second, on its own data; the snapshot is the best on `val`:",
            "",
            "| set | macro F1 | accuracy | loss |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "This card does not describe the training data.",
            "",
        ]
    )
