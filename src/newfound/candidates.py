"""The values that settings are chosen from, on known classes."""

from dataclasses import dataclass, fields
from typing import Literal

MU_FRACTIONS = (0.35, 0.47, 0.55, 0.65, 0.75)
"""Of H, for the threshold mu; the paper's 240 of 512 is 0.47."""

Value = int | float | str
"""Of a setting that can be tuned."""


@dataclass(frozen=True)
class Candidates:
    """The values to compare, setting by setting in this order; one value is taken as it is."""

    mu: tuple[int | float | Literal["share"], ...] = MU_FRACTIONS
    """of the threshold mu; those that unrelated items reach by chance, up to H/k, are left out"""
    window: tuple[int, ...] = (2, 4, 8, 16)
    """of k, with the best mu; mu is compared with the preset's k, or else the first one"""
    lr: tuple[float, ...] = ()
    """of the learning rate; none: the preset's"""
    temperature: tuple[float, ...] = ()
    """of tau; none: the preset's"""
    instance_weight: tuple[float, ...] = ()
    """of the weight of NCE-I; none: the preset's. Less of it, as 1 0.3 0.1, where each item is
    known by something else than its category, as by colours of its own"""
    grey: tuple[float, ...] = ()
    """of the share of views without colour, as 0 1; none: the preset's"""
    epochs: tuple[int, ...] = ()
    """of the number of epochs; none: the preset's. One, to make every trial shorter"""


TUNED = tuple(field.name for field in fields(Candidates))
