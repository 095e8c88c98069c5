"""Sentences that show how English is written, for memories too small to show it themselves.

They are ours, and count no more than any text of the memory does.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PRIMER"]

PRIMER: Final = (
    "I'm here, and I think you're right.",
    "I've seen it. I'll call you when I'm home.",
    "I'd say it's fine; don't worry about it.",
    "It's late, so let's go. We're tired.",
    "You'll like it! They've said they can't wait.",
    "What's that? I don't know, but it isn't mine.",
    "She's sure he's wrong, and I'm not so sure.",
    "That's great! How did it go?",
    "Didn't you say we'd meet? I couldn't come, and I won't be there.",
    "You've done it! I wouldn't have, and they aren't ready.",
    "Wasn't it Monday? No, it was Tuesday.",
    "Where are you? When do you leave? Why not?",
    "Hello, how are you? Thanks, I'm well.",
    "Yes, of course. No, not yet.",
    "Who's there? There's nobody. We haven't looked.",
    "On Friday, 3 May 2024, at 10:30, it cost $4.50.",
    "We met in January and again on the 5th of March, 2023.",
    "See https://www.example.org/page for more (or ask me).",
    'He said: "Well done!" She didn\'t answer.',
    "Version 2.0 is 3.5 times as fast, at 12% of the price.",
    "First, read it. Then, if it doesn't work, write to help@example.com.",
    "The well-known two-day course starts in April.",
    "Do you want to come? Would you like tea? Is it far?",
    "Wow, that's good news! Have you told them?",
    "Mr. Smith lives in New York, doesn't he?",
    "A list:\n- one\n- two\n- three",
    "A title\n\nThe first line. The second line.",
    "If you're free, let me know; if not, that's okay.",
    "Can you help me? I can, but I can't today.",
    "Isn't this what we've been looking for? It's what I've wanted.",
)
