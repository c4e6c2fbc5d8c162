"""The experiments from a terminal: `python -m experiments list | run | report | costs | all | weights`."""

import argparse
import sys
from collections.abc import Sequence

from course_utils.data import DataError
from course_utils.models import CheckpointError
from course_utils.resources import resource_root
from course_utils.training import TrainingError

from . import study_reader
from .costs import measure_costs
from .ledger import StudyError, read_runs, results_folder
from .maps import record_maps
from .plan import finished, tuning_runs
from .report import provenance, study_report, write_summary
from .runner import run_study
from .studies import STUDIES, study
from .study_league import LEAGUE
from .weights import RECIPES, make_weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it worked, 2 if it could not, with the reason in one line."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except (StudyError, TrainingError, CheckpointError, DataError, ValueError, OSError) as error:
        print(f"{error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments", description="The course's experiments.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="the studies and the trained networks")
    listing.set_defaults(command=_list)

    run = commands.add_parser("run", help="do what is missing of a study; it can be stopped and run again")
    run.add_argument("name", help="of the study, such as 4.2")
    run.add_argument("--seeds", type=int, default=5, help="how many seeds (default %(default)s)")
    run.add_argument("--jobs", type=int, default=1, help="processes side by side (default %(default)s)")
    run.add_argument("--threads", type=int, default=1, help="threads of each process (default %(default)s)")
    run.set_defaults(command=_run)

    report = commands.add_parser("report", help="print the tables of a study and write its summary.json")
    report.add_argument("name", help="of the study, such as 4.2")
    report.set_defaults(command=_report)
    everything = commands.add_parser("all", help="every number of 4.2, 4.3 and 4.5: runs, tables, costs, recorded maps")
    everything.add_argument("--seeds", type=int, default=5, help="seeds of each study (default %(default)s)")
    everything.add_argument("--jobs", type=int, default=1, help="processes side by side (default %(default)s)")
    everything.add_argument("--threads", type=int, default=1, help="threads of each process (default %(default)s)")
    everything.set_defaults(command=_all)
    for command in (run, report, everything):
        command.add_argument(
            "--out", help="folder of results (default: resource/results; runs, where a study does not ship)"
        )

    costs = commands.add_parser("costs", help="time and weigh a study's networks side by side, on a quiet machine")
    costs.add_argument("name", help="of the study, such as 4.3")
    costs.add_argument("--rounds", type=int, default=7, help="steps each network is timed for (default %(default)s)")
    costs.add_argument("--threads", type=int, default=1, help="threads of torch (default %(default)s)")
    costs.add_argument("--out", help="folder of results (default: resource/results)")
    costs.set_defaults(command=_costs)

    weights = commands.add_parser("weights", help="train the networks that ship with the course")
    weights.add_argument("names", nargs="*", default=list(RECIPES), help="which (default: all)")
    weights.add_argument("--out", default=str(resource_root() / "weights"), help="folder (default: resource/weights)")
    weights.set_defaults(command=_weights)
    return parser


def _list(options: argparse.Namespace) -> None:
    for name, chosen in STUDIES.items():
        recorded = read_runs(results_folder(chosen))
        trials = tuning_runs(chosen)
        found = sum(finished(trial, recorded) is not None for trial in trials)
        print(f"{name}: {chosen.title}")
        print(f"    {len(chosen.entries)} networks on {', '.join(task.title.lower() for task in chosen.tasks)}")
        print(f"    recorded: {found} of {len(trials)} trials for the learning rate, {len(recorded) - found} runs")
    runs = len(read_runs(results_folder(study_reader.STUDY)))
    print(f"{study_reader.STUDY.name}: {study_reader.STUDY.title}\n    it trains nothing; recorded: {runs} runs")
    print("NAME-short: the same networks on few images of one task, in about a minute")
    for name, recipe in RECIPES.items():
        print(f"weights {name}: {recipe.data}, {recipe.epochs} epochs")


def _run(options: argparse.Namespace) -> None:
    if options.name == study_reader.STUDY.name:
        if (options.jobs, options.threads) != (1, 1):
            raise ValueError(
                f"Study {options.name} runs in one process with one thread: leave --jobs and --threads out."
            )
        folder = study_reader.do_runs(options.seeds, options.out)
    else:
        folder = run_study(study(options.name), options.seeds, options.out, options.jobs, options.threads)
    print(f"Complete: {folder}. `report {options.name}` makes the tables; --out FOLDER recomputes elsewhere.")


def _report(options: argparse.Namespace) -> None:
    if options.name == study_reader.STUDY.name:
        print(f"{study_reader.summary(options.out)}\n\nWritten: {study_reader.write_report(options.out)}")
        return
    report = study_report(options.name, options.out)
    print(report)
    print(f"\n{provenance(options.name, options.out)}")
    print(f"\nWritten: {write_summary(report, options.out)}")


def _all(options: argparse.Namespace) -> None:
    shipped = [chosen for chosen in STUDIES.values() if chosen.shipped]
    for chosen in shipped:
        run_study(chosen, options.seeds, options.out, options.jobs, options.threads)
    print(f"Written: {record_maps(options.out)}")
    print(f"Written: {measure_costs(LEAGUE, options.out, threads=options.threads)}")
    for chosen in shipped:
        print(f"Written: {write_summary(study_report(chosen.name, options.out), options.out)}")


def _costs(options: argparse.Namespace) -> None:
    if options.name == study_reader.STUDY.name:
        raise ValueError(f"Study {options.name} trains nothing, so it has no costs.")
    print(f"Written: {measure_costs(study(options.name), options.out, options.rounds, options.threads)}")
    print(f"`report {options.name}` puts them into the study's tables.")


def _weights(options: argparse.Namespace) -> None:
    for path in make_weights(options.out, options.names):
        print(f"Written: {path} and its card")


if __name__ == "__main__":
    sys.exit(main())
