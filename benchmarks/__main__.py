"""The benchmark suite: measures, prints one table, writes bench.json.

python -m benchmarks [--only pairs,augment] [--full] [--out bench.json]
"""

import argparse
from pathlib import Path

from newfound.machine.interrupt import terminated_as_by_ctrl_c
from newfound.machine.process import let_waiting_threads_sleep


def main() -> int:
    """Run the cases one after another; 1 if one failed."""
    let_waiting_threads_sleep()  # as the newfound command does, before torch is loaded
    from rich.console import Console  # noqa: PLC0415

    from benchmarks.about import about  # noqa: PLC0415
    from benchmarks.cases import CASES  # noqa: PLC0415
    from benchmarks.results import Bench, Size  # noqa: PLC0415
    from benchmarks.suite import run_case  # noqa: PLC0415
    from benchmarks.table import WIDTH, print_bench  # noqa: PLC0415

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--only", help=f"some of the cases: {','.join(CASES)}")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="more sizes, more turns, hours")
    size.add_argument("--tiny", action="store_true", help="to try the suite; figures say nothing")
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    arguments = parser.parse_args()
    names = list(CASES) if arguments.only is None else arguments.only.split(",")
    unknown = [name for name in names if name not in CASES]
    if unknown:
        parser.error(f"there is no case {unknown[0]!r}; there are {', '.join(CASES)}")
    chosen: Size = "full" if arguments.full else "tiny" if arguments.tiny else "default"

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)  # or this is found out in the end
    of_machine, results = about(), {}
    with terminated_as_by_ctrl_c():  # so that a case ends with the suite
        for name in names:
            console.print(f"{name} ...", end="")
            results[name] = run_case(name, chosen)
            how = "failed" if results[name].error else "done"
            console.print(f" {how}, {results[name].seconds:g} s")
    bench = Bench(about=of_machine, size=chosen, cases=results)
    arguments.out.write_text(bench.model_dump_json(indent=2) + "\n", encoding="utf-8")
    print_bench(bench, console)
    return int(any(result.error for result in results.values()))


if __name__ == "__main__":
    raise SystemExit(main())
