"""The ways to write a row of tokens, as a lattice: one edge is a gap and the form of the token after it.

A node is a slot and the state in which it is met. The states that are kept at a slot are the likeliest ones,
so the work grows with the number of tokens and not with that of the sentences that could be made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from carma.healing.words.learnt import PLAIN, RARE, Learnt
from carma.healing.words.phrases import Hint
from carma.healing.words.traits import PAD, Path, State, case_traits, following, gap_traits, path_traits
from carma.healing.words.variants import Edge, Node
from carma.healing.words.written import CAPITAL, LOWER, OTHER, UPPER, shape_of, shaped

__all__ = ["lattice"]

Floats = NDArray[np.float32]
Choosable = tuple[str, float]
"""Something written, and its cost: -log of its probability."""

_WORST: Final = 14.0
"""Ways this much (in nats) behind the best are left out."""
_STATES_MOST: Final = 16
_NODES_MOST: Final = 8_000
"""In all; a long text gets fewer states per slot."""
_RARE_TRIED: Final = 12
_HEARD: Final = 0.97
"""How far a phrase from nearby is believed."""


def lattice(learnt: Learnt, tokens: Sequence[str], hints: Mapping[int, Hint]) -> Node:
    """The settled first node of the ways to write `tokens`."""
    return _Builder(learnt, tokens, hints).build()


class _Builder:
    def __init__(self, learnt: Learnt, tokens: Sequence[str], hints: Mapping[int, Hint]) -> None:
        self.learnt, self.tokens, self.hints = learnt, tokens, hints
        self.columns = learnt.columns([tokens])
        count = len(tokens)
        at = np.arange(PAD, PAD + count + 1)
        zero = np.zeros_like(at)
        traits = gap_traits(self.columns, Path(at, zero + PAD, zero + PAD + count, zero + PAD, zero, zero))
        self.plain_part = learnt.plain.part(traits)
        self.gap_part = learnt.gap.part(traits)

    def build(self) -> Node:
        first = Node()
        level = {State(): (0.0, first)}
        levels = [[first]]
        states = max(2, min(_STATES_MOST, _NODES_MOST // (len(self.tokens) + 1)))
        for slot in range(len(self.tokens)):
            reached = self._slot(slot, level)
            level = dict(sorted(reached.items(), key=lambda item: item[1][0])[:states])
            kept = {id(node) for _, node in level.values()}
            for node in levels[-1]:
                node.edges = [edge for edge in node.edges if id(edge.head) in kept]
            levels.append([node for _, node in level.values()])
        self._end(level)
        for nodes in reversed(levels):
            for node in nodes:
                node.settle()
        return first

    def _end(self, level: Mapping[State, tuple[float, Node]]) -> None:
        """The edges out of the last slot."""
        for (_, node), own in zip(
            level.values(), self._gaps(len(self.tokens), level, [_WORST] * len(level)), strict=True
        ):
            node.edges = [Edge(cost, gap.encode("utf-8"), None) for gap, cost in own]

    def _slot(self, slot: int, level: Mapping[State, tuple[float, Node]]) -> dict[State, tuple[float, Node]]:
        """Give the nodes of a slot their edges; what these reach, with the cost of the best way there."""
        best = min(cost for cost, _ in level.values())
        # What is dear already may only go on by what is cheap.
        rooms = [max(0.0, _WORST - (so_far - best)) for so_far, _ in level.values()]
        gaps = self._gaps(slot, level, rooms)
        forms = self._forms(slot, level, gaps)
        reached: dict[State, tuple[float, Node]] = {}
        for (state, (so_far, node)), own, room in zip(level.items(), gaps, rooms, strict=True):
            limit = own[0][1] + room
            for gap, gap_cost in own:
                for form, shape, form_cost in forms[state.open, state.before, gap]:
                    cost = gap_cost + form_cost
                    if cost > limit:
                        break
                    after = following(state, slot, gap, shape)
                    there = reached.get(after)
                    if there is None:
                        there = reached[after] = (so_far + cost, Node())
                    elif so_far + cost < there[0]:
                        there = reached[after] = (so_far + cost, there[1])
                    node.edges.append(Edge(cost, (gap + form).encode("utf-8"), there[1]))
        return reached

    def _path(self, slot: int, states: Sequence[State]) -> Path:
        count = len(states)
        whole = np.full(count, PAD, np.int64)
        start, open_, before = np.array(states, np.int64).T
        return Path(whole + slot, whole, whole + len(self.tokens), start + PAD, open_, before)

    def _gaps(self, slot: int, states: Iterable[State], rooms: Iterable[float]) -> list[list[Choosable]]:
        """Per state the gaps that may stand in a slot, the likeliest first, within its room."""
        learnt = self.learnt
        traits = path_traits(self.columns, self._path(slot, list(states)))
        plain = learnt.plain.finish(learnt.plain.part(traits) + self.plain_part[slot])
        other = learnt.gap.finish(learnt.gap.part(traits) + self.gap_part[slot])
        costs = -np.concatenate([plain[:, 1:], other + plain[:, :1]], axis=1)
        unlikely = costs[:, RARE + 1].tolist()
        costs[:, RARE + 1] = np.inf
        if 0 < slot < len(self.tokens) and "" in learnt.labels:
            costs[:, learnt.labels[""] + 1] = np.inf  # It would make one token of two.
        rare = self._rare(slot)
        hint = self.hints.get(slot)
        names = (PLAIN, "", *learnt.classes)
        found: list[list[Choosable]] = []
        limits = costs.min(axis=1) + np.fromiter(rooms, np.float32)
        for row, dear, limit in zip(costs, unlikely, limits, strict=True):
            own = {names[at]: float(row[at]) for at in np.flatnonzero(row <= limit)}
            own |= {gap: dear - share for gap, share in rare if dear - share <= limit}
            if hint is not None and hint.gap is not None:
                own = _heard(own, hint.gap)
            found.append(sorted(own.items(), key=_cost))
        return found

    def _rare(self, slot: int) -> list[Choosable]:
        """Gaps that are no class, with the log of their share: what was seen between these tokens, or
        others."""
        learnt, tokens = self.learnt, self.tokens
        seen = learnt.rare.get((tokens[slot - 1], tokens[slot])) if 0 < slot < len(tokens) else None
        if seen:
            total = sum(seen.values())
            return [(gap, log(count / (total + 1))) for gap, count in seen.most_common(_RARE_TRIED)]
        few = learnt.rare_gaps[:_RARE_TRIED]
        return [(gap, -log(len(learnt.rare_gaps) + 1)) for gap in few]

    def _forms(
        self, slot: int, states: Iterable[State], gaps: Sequence[Sequence[Choosable]]
    ) -> dict[tuple[int, int, str], list[tuple[str, int, float]]]:
        """How the token after a slot may be written, by what is open, how the last one was written, and the
        gap: form, shape, cost, the likeliest first."""
        keys = {
            (state.open, state.before, gap): state
            for state, own in zip(states, gaps, strict=True)
            for gap, _ in own
        }
        path = self._path(slot, list(keys.values()))
        classes = self.learnt.gap_classes([gap for _, _, gap in keys])
        logs = self.learnt.case.logs(case_traits(self.columns, path, classes)).tolist()
        written = self._written(self.tokens[slot])
        hint = self.hints.get(slot)
        shapes = {form: shape for form, shape, _ in written}
        if hint is not None and hint.form is not None:
            shapes.setdefault(hint.form, shape_of(self.tokens[slot], hint.form))
        found = {}
        for key, own in zip(keys, logs, strict=True):
            forms = {form: -own[shape] - share for form, shape, share in written}
            if hint is not None and hint.form is not None:
                forms = _heard(forms, hint.form)
            ordered = sorted(forms.items(), key=_cost)
            found[key] = [(form, shapes[form], cost) for form, cost in ordered]
        return found

    def _written(self, token: str) -> list[tuple[str, int, float]]:
        """Forms of a token, with their shape and the log of their share in it."""
        raised = {shaped(token, shape): shape for shape in (UPPER, CAPITAL)}
        found = {form: shape for form, shape in raised.items() if form.lower() == token} | {token: LOWER}
        forms = [(form, shape, 0.0) for form, shape in found.items()]
        others = self.learnt.others.get(token)
        if others:
            total = sum(others.values())
            forms += [(form, OTHER, log(n / total)) for form, n in others.most_common(8) if form not in found]
        return forms


def _cost(choice: tuple[str, float]) -> float:
    return choice[1]


def _heard(costs: Mapping[str, float], said: str) -> dict[str, float]:
    """The costs when a phrase has named one of the choices."""
    base = min(costs.values(), default=0.0)
    heard = {choice: cost - base - log(1 - _HEARD) for choice, cost in costs.items()}
    heard[said] = -log(_HEARD)
    return heard
