"""Colours and shapes of the four states, told apart without colour too.

Chosen so that every two stay apart with a colour vision deficiency (G. M. Machado et al., "A
physiologically-based model for simulation of color vision deficiency", 2009), and each has a shape of its
own: intact a disc, repaired a square, reconstructed a diamond, blank a hollow ring.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from carma.models import State

__all__ = ["DARK", "LIGHT", "MARKERS"]

LIGHT: Mapping[State, str] = MappingProxyType(
    {"intact": "#8b97a5", "repaired": "#0067a8", "reconstructed": "#d07c00", "blank": "#a8003f"}
)
"""On white."""

DARK: Mapping[State, str] = MappingProxyType(
    {"intact": "#5f6c7a", "repaired": "#56b4e9", "reconstructed": "#f5b52a", "blank": "#ff9dbd"}
)
"""On a dark ground."""

MARKERS: Mapping[State, str] = MappingProxyType(
    {"intact": "o", "repaired": "s", "reconstructed": "D", "blank": "o"}
)
"""As matplotlib names them; blank is drawn hollow."""
