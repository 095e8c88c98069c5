"""The server: one block of seats behind HTTP.

    bytes ─▶ connections ─▶ gate (key, limits, permission) ─▶ body ─▶ route ─▶ Memory ─▶ answer
                                      accounts, seats ───────────────────┘

Nothing here knows how a memory works: every operation ends in a call of `Memory`.
"""
