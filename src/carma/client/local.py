"""What stays on the machine where the memory lies, and what a client says instead.

Each of these names is a verb of `Memory`. Asked of a client it raises `NotRemote`, and does not fail with an
AttributeError somewhere: whoever moves a program to a server learns what to do at the first call.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from carma.errors import NotRemote

__all__ = ["LOCAL", "refused"]

LOCAL: Final = {
    "acting": "The server notes itself on whose behalf it acts.",
    "acts": "audit() has the entries that were made of them.",
    "acts_copied": "The server copies them to its audit log itself.",
    "answered": "The server repeats its answers itself.",
    "clear_breaker": "Whoever runs the server looks first, then runs `carma scan --clear-breaker` there.",
    "compact": "The server compacts by itself.",
    "doctor": "Run `carma doctor` where the memory lies.",
    "export": "Run `carma export` where the memory lies.",
    "flush": "The server embeds by itself; a search says when it is degraded.",
    "import_": "Run `carma import` where the memory lies, or add the texts.",
    "look": "The server looks by itself; scan() asks it to look now.",
    "reembed": "Run `carma reembed` where the memory lies.",
    "repair_index": "Run `carma repair-index` where the memory lies.",
    "rest": "The server rests by itself.",
    "snapshot": "Run `carma snapshot` where the memory lies.",
}
"""Verbs of `Memory` that a client refuses, and what to do instead."""


def refused(name: str, *, awaited: bool = False) -> Any:
    """A method that refuses, at once or when it is awaited."""

    def method(self: object, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotRemote(f"{name} works on a memory of this machine only.", hint=LOCAL[name])

    async def later(self: object, *args: Any, **kwargs: Any) -> NoReturn:
        method(self)

    made: Any = later if awaited else method
    made.__name__ = name
    made.__doc__ = f"Not over a server: raises NotRemote. {LOCAL[name]}"
    return made
