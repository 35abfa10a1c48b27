"""Where the bytes of items lie."""

import numpy as np

from newfound.data.stored import Files
from newfound.data.texts import Texts, column


def test_the_place_of_files_is_their_common_folder() -> None:
    """However the names of folders sort: `y-z` comes between `y` and what lies in `y`."""
    folders, of = column([b"/x/y/", b"/x/y-z/", b"/x/y/z/"]), np.arange(3, dtype=np.int32)
    assert Files(Texts.composed(folders, of, column([b"a", b"b", b"c"]))).place() == "/x"
