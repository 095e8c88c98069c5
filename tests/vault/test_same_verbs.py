"""Every promise of the verbs holds for an encrypted memory: the tests of the plain one, run with a cipher.

The fixtures of this folder open encrypted memories; the tests are those of `tests/memory`. What takes long is
left to the nightly run.
"""

from __future__ import annotations

from functools import wraps

import pytest

from tests.memory import test_finding, test_moving, test_verbs


def _quick(tests: object) -> dict[str, object]:
    return {name: test for name, test in vars(tests).items() if name.startswith("test_")}


def _nightly(tests: object) -> dict[str, object]:
    return {name: pytest.mark.nightly(_another(test)) for name, test in _quick(tests).items()}


def _another(test: object) -> object:
    """The same test under a mark of its own: a mark stays with the function that it is put on."""
    assert callable(test)

    @wraps(test)
    def call(*args: object, **kwargs: object) -> object:
        return test(*args, **kwargs)

    return call


globals().update(_quick(test_verbs) | _quick(test_moving) | _nightly(test_finding))
