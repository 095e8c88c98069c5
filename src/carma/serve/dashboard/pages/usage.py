"""Usage: what the account uses, and which bounds hold for it."""

from __future__ import annotations

from carma.access.keys.permissions import in_words
from carma.serve.dashboard.pieces import box, card, facts, hint, line, nothing, table
from carma.serve.dashboard.say import ago, count, of_bytes, when
from carma.serve.dashboard.view import View, page

__all__ = ["usage"]

_COUNTED = ("fragments", "versions", "deleted", "writes")


@page("/usage", "Usage")
async def usage(view: View) -> None:
    """The page."""
    stats = await view.asking.ask("usage", lambda memory: memory.stats())
    services, principal = view.asking.services, view.asking.principal
    use, account, settings = services.meter.of(principal.account), view.asking.seat.account, services.settings
    with box("two"):
        with card("Account"):
            facts({
                "name": account.name, "id": account.id,
                "seat": f"{account.seat}, generation {account.generation}",
                "signed in by": principal.key, "it may": in_words(principal.permissions),
            })  # fmt: skip
        with card("Bounds"):
            facts({
                "requests": f"{count(settings.key_rate_per_s)} a second, {count(settings.key_burst)} at once",
                "one request": of_bytes(settings.body_bytes),
                "one answer": of_bytes(settings.answer_bytes),
                "fragments in one": count(settings.items_most),
                "hits, a page": count(settings.page_most),
            })  # fmt: skip
    with box("two"):
        with card("Memory"):
            table(("what", "number"), ((name, stats[name]) for name in _COUNTED))
            hint(f"Created {when(stats['created'])}.")
            if stats["kinds"]:
                line("Fragments by kind", "h3")
                table(("kind", "fragments"), sorted(stats["kinds"].items(), key=lambda each: -each[1]))
        with card("On disk"):
            sizes = stats["bytes"]
            table(("part", "size"), [*sizes.items(), ("all", sum(sizes.values()))], say=of_bytes)
    with card("Requests"):
        hint(f"Since the server was started, {ago(services.meter.since, view.now)}. These pages count too.")
        if not use.requests:
            nothing("None yet.")
            return
        facts({"received": of_bytes(use.received_bytes), "sent": of_bytes(use.sent_bytes)})
        table(("operation", "requests"), use.requests.most_common())
