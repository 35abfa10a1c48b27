"""Images and labels in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from newfound.data.catalogue import Catalogue, checked, plain_catalogue
from newfound.data.images import ArrayImages
from newfound.data.labels import label_values, numbered
from newfound.data.naming import row_names
from newfound.data.tables import column_of_paths
from newfound.data.texts import Texts
from newfound.errors import InputError


def from_arrays(pixels: ArrayLike, labels: ArrayLike | Sequence[Any]) -> Catalogue:
    """A catalogue of images in memory.

    pixels: uint8, (n, h, w) grey or (n, h, w, 3) RGB.
    labels: (n,) ints from 0 on with -1 = unlabelled, or strings with blanks, None or pandas' NaN =
    unlabelled; known classes are numbered in their order (ints by value, strings by name). Ints
    may be whole floats where pandas has NaN for the unlabelled.

    Raises InputError for other pixels or labels, less than two labelled classes, or no
    unlabelled item.
    """
    if column_of_paths(pixels) is not None:
        raise InputError(
            "the images are given as paths; give pandas.DataFrame({'path': paths, 'label': labels})"
        )
    try:
        images = ArrayImages(np.asarray(pixels))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the images make no array ({error}); resize them to one size, or write them to files "
            "of a folder, where sizes may differ"
        ) from error
    values = label_values(labels)
    if len(values) != len(images):
        raise InputError(
            f"there are {len(images)} images and {len(values)} labels; give each image one, "
            "-1 for unlabelled"
        )
    numbers, class_names = numbered(values)
    names = Texts(row_names("", len(images)))
    return checked(plain_catalogue(names, numbers, class_names, images, "arrays"))
