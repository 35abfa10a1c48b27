"""What there is to reproduce, for the terminal."""

from rich.console import Group
from rich.markup import escape
from rich.table import Table as Display

from newfound.reproduce.datasets import DATA_SETS, shrink_in_words
from newfound.reproduce.rows import TABLES


def listing() -> Group:
    """The tables with their rows, and the data sets with their protocols and small scales."""
    tables = Display("table", "what it is", "of", "rows")
    for table in TABLES.values():
        rows = "\n".join(f"({row.number}) {row.name}" for row in table.rows)
        tables.add_row(table.name, table.title, table.kind or "any", escape(rows))
    data_sets = Display("--dataset", "labelled / novel", "what DATA holds", "--scale small")
    for data_set in DATA_SETS.values():
        data_sets.add_row(
            data_set.name,
            data_set.classes,
            escape(f"{data_set.layout}; {data_set.kind}"),
            shrink_in_words(data_set),
        )
    data_sets.add_row("folder", "--labelled-classes N / the others", "<class>/; images", "")
    return Group(tables, data_sets)
