"""All tables and figures below a folder as one page of Markdown, which docs/results.md is."""

import shutil
from pathlib import Path

from newfound.disk.files import write_text
from newfound.errors import InputError
from newfound.reproduce.rows import TABLES

_HEAD = """\
# Results

Assembled by `newfound reproduce page` from what `newfound reproduce` measured: ACC over the
unlabelled items, which were trained on, by one Hungarian matching, after the last epoch. Figures at
small scale are of a narrow network, few items and few epochs: they compare with one another, not
with the paper's.

"""


def write_page(out: Path, to: Path) -> None:
    """Assemble OUT's tables, in the paper's order; figures are copied to lie beside `to`.

    Raises InputError if there are none, or `to` cannot be written.
    """
    if not to.parent.is_dir():
        raise InputError(f"{to.parent} is no folder; --to goes into one that is there")
    sections = [
        path.read_text(encoding="utf-8") + _figure(path, to)
        for table in TABLES
        for path in sorted(out.glob(f"{table}-*.md"))
    ]
    if not sections:
        raise InputError(f"{out} holds no tables; newfound reproduce table1 --out {out} makes one")
    write_text(to, _HEAD + "\n".join(sections))


def _figure(table: Path, to: Path) -> str:
    picture = table.with_suffix(".png")
    if not picture.exists():
        return ""
    beside = to.parent / picture.name
    if beside.resolve() != picture.resolve():
        shutil.copyfile(picture, beside)
    return f"\n![{table.stem}]({picture.name})\n"
