"""Folders of files as they are found in the wild, and what may happen to them."""

import os
import random
from pathlib import Path

NAMES = [b"a", b"b", b"a-b", b"a.b", b"a!", b"a0", b"z z", b"a\nb", b"\xff", b"\\xff", b"\xc3\xa9"]
NAMES += [b"\xf0\x9f\x98\x80", b"\xee\x80\x80", b".hidden", b"Thumbs.db"]
"""Some sort before a slash, some after it; some are not UTF-8, or sort otherwise when they are."""

TARGETS = [".", "..", "../..", "nowhere", "a", "../a", "../b/a", "a1"]


def make_tree(root: Path, seed: int) -> Path:
    """Files, folders, links to either, to nothing and in loops, up to five deep."""
    _fill(root, random.Random(seed), depth=0)
    return root


def change_tree(root: Path, seed: int, changes: int = 4) -> None:
    """Add, remove, rename and swap whatever comes."""
    chance = random.Random(seed)
    for _ in range(changes):
        places = [
            Path(here, name) for here, folders, files in os.walk(root) for name in folders + files
        ]
        folders = [root, *(place for place in places if place.is_dir() and not place.is_symlink())]
        what = chance.choice(["add", "add", "remove", "rename", "move", "swap", "link", "rewrite"])
        new = chance.choice(folders) / _name(chance)
        old = chance.choice(places) if places else new
        if what == "add" and not os.path.lexists(new):
            new.write_bytes(b"new") if chance.random() < 0.5 else _fill(new, chance, depth=3)
        elif what == "link" and not os.path.lexists(new):
            new.symlink_to(chance.choice(TARGETS))
        elif what == "remove" and (old.is_symlink() or old.is_file()):
            old.unlink()
        elif what == "rewrite" and old.is_file():
            old.write_bytes(b"other content")
        elif what == "rename" and os.path.lexists(old):
            target = old.parent / _name(chance)
            if not os.path.lexists(target):
                old.rename(target)
        elif what == "move" and os.path.lexists(old) and not os.path.lexists(new):
            if old not in new.parents:
                old.rename(new)
        elif what == "swap" and len(folders) > 2:
            first, second = chance.sample(folders[1:], 2)
            if first not in second.parents and second not in first.parents:
                aside = root / "aside"
                first.rename(aside)
                second.rename(first)
                aside.rename(second)


def _fill(folder: Path, chance: random.Random, depth: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(chance.randint(0, 6)):
        place = folder / _name(chance)
        kind = chance.random()
        if os.path.lexists(place):
            continue
        if kind < 0.55:
            place.write_bytes(bytes(chance.randint(0, 9)))
        elif kind < 0.8 and depth < 4:
            _fill(place, chance, depth + 1)
        else:
            place.symlink_to(chance.choice([*TARGETS, place.name]))


def _name(chance: random.Random) -> str:
    return os.fsdecode(chance.choice(NAMES) + chance.choice([b"", b"1", b".png", b".jpg"]))
