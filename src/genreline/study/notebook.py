"""A study in a Jupyter notebook: its runs, with a line of progress, then its section of the report under the cell."""

import time
from pathlib import Path
from typing import NamedTuple

from genreline.study.records import load_run, select_runs
from genreline.study.runner import jobs_of, run_study, without_device, write_study, write_table
from genreline.study.section import study_section
from genreline.study.spec import load_study
from genreline.study.stats import best_entry, entries_of, mean_of, val_f1_of
from genreline.train.config import Config, parse_config
from genreline.train.loop import check_device


class Answer(NamedTuple):
    """The best variant of a study: its name, its mean validation macro F1 over seeds, the settings of its first run."""

    study: str
    variant: str
    val_f1_macro: float
    config: Config


def show_study(
    name_or_file: str | Path,
    data: str | Path,
    out: str | Path = "studies",
    seeds: int = 1,
    epochs: int | None = None,
    device: str = "cpu",
    n_processes: int = 2,
) -> Answer:
    """Make every missing run of a study, and display its tables, comments and figures.

    The cell can be interrupted and run again at any time: finished runs are kept in `out`. The arguments are those of
    `genreline study`.

    Returns:
        The variant that is best by validation, with its settings.

    Raises:
        ConfigError: no such study or device. DataError: a dataset that cannot be digested.
    """
    from IPython.display import HTML, display

    check_device(device)
    study = load_study(name_or_file)
    jobs = jobs_of(study, data, out, seeds, epochs, device)
    absent = without_device(jobs)
    jobs = [job for job in jobs if job not in absent]
    write_study(study, out)
    left = sum(not job.done for job in jobs)
    start = time.perf_counter()
    line = display(HTML(_progress_text(study.name, len(jobs), left, 0.0)), display_id=True)
    for n, _ in enumerate(run_study(jobs, n_processes), start=1):
        left_s = (time.perf_counter() - start) / n * (left - n)
        line.update(HTML(_progress_text(study.name, len(jobs), left - n, left_s)))
    write_table(jobs)
    runs, flags = select_runs(study, [load_run(job.path) for job in jobs])
    display(HTML(study_section(study, runs, flags).html()))
    best = best_entry(entries_of(study, runs))
    config = parse_config(best.runs[0].config)
    return Answer(study.name, best.name, mean_of(best, val_f1_of), config)


def _progress_text(name: str, n: int, left: int, left_s: float) -> str:
    time_left = f", about {left_s // 60:.0f}:{left_s % 60:02.0f} left" if left and left_s else ""
    return f"<p>{name}: {n - left} of {n} runs done{time_left}</p>"
