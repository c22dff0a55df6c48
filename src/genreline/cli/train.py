"""The commands of train/: a dataset becomes a model, and a model gets its figures."""

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genreline.cli.options import Data, ModelName
from genreline.cli.terminal import AsJson, complain, note, print_json, print_table, progress_bar, warn
from genreline.errors import ConfigError, GenrelineError

if TYPE_CHECKING:
    from rich.progress import Progress

    from genreline.data.layout import Dataset
    from genreline.train.config import Config
    from genreline.train.loop import Epoch


class Features(StrEnum):
    """The representations of a second (assignment, Data)."""

    mfccs = "mfccs"
    melgrams = "melgrams"


class Network(StrEnum):
    """The networks of steps 1.2 and 2.4 of the assignment, and ours."""

    fnn = "fnn"
    cnn = "cnn"
    resnet = "resnet"


class Log(StrEnum):
    """Where the figures of each epoch may go."""

    csv = "csv"
    tensorboard = "tensorboard"


class Group(StrEnum):
    """What stays together in folds: columns of tracks.csv."""

    artist = "artist"
    track = "track"
    source = "source"


class SetName(StrEnum):
    """The sets of a dataset."""

    train = "train"
    val = "val"
    test = "test"


def train(
    data: Data,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The model folder to write.")],
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME", help="One of `genreline recipes`, or a model, whose settings to use.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="MODEL", help="Start from the weights of a model.")
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="Keep them, and train a new last layer alone.")] = False,
    model: Annotated[Network | None, typer.Option(help="The assignment's fnn or cnn, or resnet.")] = None,
    features: Annotated[Features | None, typer.Option(help="Input of --model (default: mfccs).")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="A TOML file of settings.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting, such as optimizer.lr=0.01; repeatable."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the model that is in --out.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted or killed.")] = False,
    logs: Annotated[
        list[Log] | None, typer.Option("--log", help="Log each epoch to DIR/log.csv or DIR/tensorboard; repeatable.")
    ] = None,
    graph: Annotated[bool, typer.Option("--graph/--no-graph", help="Add its ONNX graph, which takes seconds.")] = True,
    beside: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Say what support vector machines get on the same sets.")
    ] = True,
    folds: Annotated[
        int | None, typer.Option(min=3, help="Cross-validate in so many folds, then train on all of the dataset.")
    ] = None,
    group: Annotated[
        Group | None, typer.Option(help="What no two folds share (default: artist if tracks.csv has it, else track).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a network and keep the snapshot with the best validation macro F1.

    Without --recipe, --from, --model, --features or --config, the recipe is one that works for the dataset's size.

    --model, --features and --config begin with the assignment's settings: SGD at 0.002, cross-entropy, 30 epochs,
    batches of 16; --model cnn is the pooled and padded network of step 2.4. Options go over the file, --set over all.
    """
    from genreline.data.layout import load_dataset
    from genreline.files import check_writable
    from genreline.train.baselines import COURSE, baselines
    from genreline.train.checkpoint import Model, save_model
    from genreline.train.folder import DESCRIPTION
    from genreline.train.folds import state_files
    from genreline.train.log import csv_log, tensorboard_log
    from genreline.train.loop import fit
    from genreline.train.recipes import choose_recipe, configure
    from genreline.train.resume import STATE

    options = [f"features={features}"] * bool(features) + [f"model.name={model}"] * bool(model)
    base = _chosen_settings(recipe, from_, freeze, config, options)
    if base is None:
        base, why = choose_recipe(data)
        note(f"{why}; `genreline recipes` lists all, and --recipe assignment-fnn is the assignment's")
    settings = configure(base, [*options, *(set_ or [])], str(config or "configuration"))
    if group and not folds:
        raise ConfigError("--group: says what folds share; add --folds K, or leave it out")
    state = out / STATE
    of_folds, of_one_run = state_files(out), [state] * state.exists()
    goes_on = resume and (of_folds if folds else of_one_run)
    if not force and not goes_on:
        if (out / DESCRIPTION).exists():
            raise ConfigError(f"{out}: already holds a model; choose another --out, or overwrite it with --force")
        if of_folds or of_one_run:
            kind = "--folds" if of_folds else "no --folds"
            raise ConfigError(
                f"{out}: holds an interrupted run (with {kind}); go on with --resume, or start anew with --force"
            )
    if not goes_on:
        for path in [*of_folds, *of_one_run]:
            path.unlink()
    dataset = load_dataset(data, settings.features)
    check_writable(out)
    if folds:
        if logs:
            raise ConfigError("--folds: its runs are not logged; leave --log out")
        _train_in_folds(settings, dataset, out, folds, group, device, as_json)
        if graph:
            _add_graph(out)
        return
    with ExitStack() as stack:
        followers = [csv_log(out)] if Log.csv in (logs or []) else []
        followers += [stack.enter_context(tensorboard_log(out))] if Log.tensorboard in (logs or []) else []
        progress = stack.enter_context(progress_bar())
        n_epochs = 1 if settings.is_frozen else settings.epochs
        task = progress.add_task("training", total=n_epochs)
        progress.advance(task, 0)  # the time left counts from now, not from the end of the first epoch

        def follow(epoch: "Epoch") -> None:
            _show_epoch(progress, task, epoch, n_epochs)
            for log in followers:
                log(epoch)

        def show_rows(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, description="embedding")

        run = fit(settings, dataset, device, follow, state, show_rows)
    trained = Model.from_fit(run, dataset)
    if run.best_epoch:
        save_model(trained, out)
        if graph and run.status != "interrupted":
            _add_graph(out)
    if run.status != "interrupted":
        state.unlink(missing_ok=True)
    others = []
    if beside and run.status == "completed" and dataset.classes != COURSE:
        with progress_bar() as progress:
            task = progress.add_task("embedding for a baseline", total=None)
            others = baselines(data, on_rows=lambda done, total: progress.update(task, completed=done, total=total))
    if as_json:
        figures = {"baselines": [each._asdict() for each in others], **trained.metrics, **trained.training}
        print_json({"model": str(out) if run.best_epoch else None, **figures})
    elif run.status != "completed":
        reason = "diverged (its loss is not a number)" if run.status == "diverged" else "was interrupted"
        more = "; go on with --resume" if run.status == "interrupted" else ""
        typer.echo(f"the run {reason} after {len(run.history)} of {settings.epochs} epochs{more}")
    if not run.best_epoch:
        complain(GenrelineError(f"{out}: no epoch had a finite loss, so no model is kept; lower optimizer.lr"))
        raise typer.Exit(1)
    val = trained.metrics["val"]
    if not as_json:
        what = "a new last layer" if settings.is_frozen else f"the snapshot of epoch {run.best_epoch}"
        typer.echo(
            f"{out}: {what}, validation macro F1 {val['f1_macro']:.3f}, accuracy "
            f"{val['accuracy']:.3f}, loss {val['loss']:.3f}"
        )
        for each in others:
            is_part = each.n_train < len(dataset.train) or each.n_val < len(dataset.val)
            part = f" (of {each.n_train} and {each.n_val} seconds, drawn at random)" if is_part else ""
            got = f"validation macro F1 {each.f1_macro:.3f}, accuracy {each.accuracy:.3f}"
            typer.echo(f"beside it, {each.name}: {got}{part}")
        typer.echo(f"next: genreline evaluate {out} {data}")
    if run.interruption:
        raise run.interruption


def _chosen_settings(
    recipe: str | None, from_: str | None, freeze: bool, config: Path | None, options: list[str]
) -> dict[str, Any] | None:
    """The settings that the options of `train` name, --set not yet among them; None if they name none."""
    from genreline.train.config import merge_settings, read_settings
    from genreline.train.recipes import FINE_TUNED, FROZEN, check_of_frozen, recipe_settings

    if freeze and not from_:
        raise ConfigError("--freeze: says nothing without --from MODEL; add it, or use --recipe frozen")
    if from_ and recipe:
        raise ConfigError("--from: has settings of its own; leave out --recipe, and change some with --set")
    if (from_ or recipe) and options:
        raise ConfigError(f"{'--from' if from_ else '--recipe'}: says which network; leave out --model and --features")
    if not (recipe or from_ or config or options):
        return None
    settings: dict[str, Any] = {}
    if from_:
        settings = recipe_settings(FROZEN if freeze else FINE_TUNED)
        merge_settings(settings, {"start": {"model": from_}})
    elif recipe:
        settings = recipe_settings(recipe)
    if config:
        of_file = read_settings(config)
        if freeze or recipe == FROZEN:
            check_of_frozen(of_file, str(config))
        merge_settings(settings, of_file)
    return settings


def recipes(as_json: AsJson = False) -> None:
    """List the recipes of `train`: what each is, what it costs and what it reaches."""
    from genreline.train.recipes import recipes

    if as_json:
        print_json([recipe._asdict() for recipe in recipes()])
        return
    print_table(
        ["recipe", "what", "takes", "macro F1 by second, on unseen recordings"],
        [[recipe.name, recipe.about, recipe.cost, recipe.reaches] for recipe in recipes()],
    )


def _train_in_folds(
    settings: "Config",
    dataset: "Dataset",
    out: Path,
    n_folds: int,
    group: Group | None,
    device: str,
    as_json: bool,
) -> None:
    """Cross-validate, print a row for each fold, and write the model of all rows."""
    from genreline.train.checkpoint import save_model
    from genreline.train.folds import (
        cross_validate,
        figures_by_fold,
        fit_whole,
        fold_numbers,
        pooled,
        spreads,
        state_files,
    )

    pool = pooled(dataset)
    numbers = fold_numbers(pool, n_folds, group.value if group else None, settings.seed)
    n_epochs = 1 if settings.is_frozen else settings.epochs
    with progress_bar() as progress:
        task = progress.add_task("training", total=(n_folds + 1) * n_epochs)

        def follow(fold: int, epoch: "Epoch") -> None:
            text = f"fold {fold} of {n_folds}" if fold <= n_folds else "all of it"
            progress.update(task, completed=(fold - 1) * n_epochs + epoch.epoch, description=text)

        try:
            done = list(cross_validate(settings, dataset, pool, numbers, device, follow, out))
            model = fit_whole(settings, dataset, pool, done, device, lambda epoch: follow(n_folds + 1, epoch), out)
        except KeyboardInterrupt:
            if state_files(out):
                note("go on with --resume")
            raise
    save_model(model, out)
    for path in state_files(out):
        path.unlink()
    rows, spread = figures_by_fold(done), spreads(done)
    if as_json:
        print_json({"model": str(out), "folds": rows, **model.metrics["folds"]})
        return
    table = [[f"fold {i}", *(f"{value:.3f}" for value in row.values())] for i, row in enumerate(rows, start=1)]
    table.append(["mean", *(f"{each['mean']:.3f} ± {each['deviation']:.3f}" for each in spread.values())])
    print_table(["", *(key.replace("f1_macro", "macro F1").replace("_", " ") for key in spread)], table)
    n = len(model.training["history"])
    epochs = "" if settings.is_frozen else f" for {n} epoch{'s' * (n != 1)}"
    typer.echo(f"{out}: trained on all {len(pool)} rows{epochs}")


def evaluate(
    model: ModelName,
    data: Data,
    split: Annotated[SetName, typer.Option(help="The set to evaluate on.")] = SetName.test,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page: figures, diagrams, the most confident errors.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print loss, macro F1, accuracy, per-class figures and the confusion matrix on a set."""
    from genreline.data.layout import load_split
    from genreline.files import write_text
    from genreline.train.checkpoint import load_model
    from genreline.train.evaluate import figures_of, predict_split

    loaded = load_model(model)
    chosen = load_split(data, split.value, loaded.config.features)
    logits, targets = predict_split(loaded, chosen, f"{data / split.value}")
    figures = figures_of(loaded, chosen, logits, targets)
    if html:
        from genreline.study.evaluation import evaluation_page

        title = f"{model} on {data / split.value}"
        write_text(html, evaluation_page(title, loaded, chosen, logits, targets, figures).html_file(title))
    if as_json:
        print_json(figures)
        return
    typer.echo(f"{model} on {data / split.value}: {figures['n']} seconds")
    is_multi_label = loaded.calibration.is_multi_label
    names = {"loss": "loss", "f1_macro": "macro F1", "accuracy": "all labels right" if is_multi_label else "accuracy"}
    of_class = {"precision": "precision", "recall": "recall", "f1": "F1"}
    if is_multi_label:
        names["mean_average_precision"] = "mAP"
        of_class |= {"average_precision": "AP", "threshold": "threshold"}
    rows = [["by second", *(f"{figures[key]:.4f}" for key in names)]]
    if by_track := figures.get("by_track"):
        rows.append([f"by track ({by_track['n']})", *(f"{by_track[key]:.4f}" for key in names)])
    print_table(["", *names.values()], rows)
    print_table(
        ["class", *of_class.values(), "support"],
        [
            [name, *(f"{each[key]:.3f}" for key in of_class), each["support"]]
            for name, each in figures["per_class"].items()
        ],
    )
    if is_multi_label:  # whose confusion is that of each class with its absence, which precision and recall tell
        return
    matrix = [[name, *row] for name, row in zip(loaded.classes, figures["confusion_matrix"].tolist(), strict=True)]
    print_table(["truth \\ predicted", *loaded.classes], matrix)


def export(
    model: ModelName,
    onnx: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write it (default: into the model's folder).")
    ] = None,
) -> None:
    """Write a model as one ONNX graph: from a second's waveform, 8000 samples at 8 kHz, to probabilities.

    FILE holds all that it needs; a graph in a model's folder takes its weights from the file beside it.
    """
    from genreline.train.checkpoint import load_model
    from genreline.train.export import add_graph, save_graph
    from genreline.train.folder import find_folder

    loaded = load_model(model)
    if onnx is None:
        path = add_graph(find_folder(model))
    else:
        path = onnx
        save_graph(loaded, path)
    typer.echo(
        f"{path}: {path.stat().st_size / 1e6:.2f} MB, waveform (N, 8000) float32 -> probabilities "
        f"(N, {len(loaded.classes)}), embeddings"
    )


def _add_graph(folder: Path) -> None:
    """Add the ONNX graph to a model that is complete without it: an activation may have no ONNX."""
    from genreline.train.export import add_graph

    try:
        add_graph(folder)
    except GenrelineError as error:
        warn(f"no ONNX graph was added: {error}")


def push(
    model: ModelName,
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository on the Hugging Face hub.")],
    license: Annotated[
        str | None, typer.Option(metavar="ID", help="The model's, as mit or cc-by-4.0 (default: its card's).")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="A new repository is for its owner alone.")] = False,
) -> None:
    """Push a model, its card and its graph to the Hugging Face hub, in one commit; a new repository is made."""
    from genreline.train.push import push_model

    address = push_model(model, repository, license, private or None)
    typer.echo(f"{model}: pushed\nnext: genreline predict song.mp3 --model {address}")


def _show_epoch(progress: "Progress", task: Any, epoch: "Epoch", n_epochs: int) -> None:
    losses = f"train loss {epoch.train_loss:.3f}  val loss {epoch.val_loss:.3f}  val F1 {epoch.val_f1_macro:.3f}"
    losses += f"  lr {epoch.lr:.2g}"
    progress.update(task, completed=epoch.epoch, total=n_epochs, description=losses)
    if not progress.console.is_terminal:  # a log file gets a line an epoch instead of a display
        progress.console.print(f"epoch {epoch.epoch}: {losses}")
