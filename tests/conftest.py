"""What holds for every test: no example of Hypothesis has a deadline; machines are shared and noisy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("carma", deadline=None)
settings.load_profile("carma")
