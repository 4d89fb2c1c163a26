"""The networks below an open architecture: counted without listing them, and drawn with equal probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from random import Random

from nas.choices.declaration import Layout, Ruling
from nas.errors import UsageError
from nas.space import Arch

UNUSED = -1
"""The option, in a `State`, of a slot that is not used."""
MAX_STATES = 20_000
"""Combinations of options that are told apart at one slot."""

State = tuple[int, ...]
"""The options of those earlier slots on which a later one, or a rule, depends."""
Step = dict[State, dict[State, list[int]]]
"""The transitions of one slot: from each state before it to the states after it, with the options that lead there."""


class Leaves:
    """The valid leaves of a layout: those in which every slot that is not used holds its first option, and every rule
    holds.

    Slots are visited in order. What follows depends on the options of a few slots (`State`), so networks are counted by
    adding and multiplying: exact, and quick unless conditions or rules tie many choices together.
    """

    def __init__(self, layout: Layout) -> None:
        self.slots = layout.slots
        self.full: Arch = tuple(tuple(range(len(slot.values))) for slot in self.slots)
        self.rules = [[rule for rule in layout.rules if max(rule.slots) == s] for s in range(len(self.slots))]
        self._joint = [[rule for rule in rules if len(set(rule.slots)) > 1] for rules in self.rules]
        self._allowed = [self._alone(number) for number in range(len(self.slots))]
        last: dict[int, int] = {}
        for number, slot in enumerate(self.slots):
            last |= dict.fromkeys(slot.needs, number)
        for rule in layout.rules:
            last |= {slot: max(last.get(slot, 0), *rule.slots) for slot in rule.slots}
        self.live = [
            tuple(sorted(slot for slot, until in last.items() if slot < number <= until))
            for number in range(len(self.slots) + 1)
        ]

    def count(self, arch: Arch) -> int:
        """The number of valid leaves below ``arch``."""
        own = max((number + 1 for number, options in enumerate(arch) if options != self.full[number]), default=0)
        behind = self._all[1][own]  # what follows is open, as in the whole space
        return self._totals(self._steps(arch[:own]), behind)[0].get((), 0)

    def used(self, arch: Arch) -> list[bool]:
        """For each slot, whether some architecture below ``arch`` uses it, ignoring the rules."""
        alive: list[frozenset[int]] = []
        for slot, options in zip(self.slots, arch, strict=True):
            there = all(alive[earlier] & allowed for earlier, allowed in slot.needs.items())
            alive.append(frozenset(options) if there else frozenset())
        return [bool(options) for options in alive]

    def draw(self, rng: Random) -> Arch:
        """A valid leaf, each with equal probability."""
        steps, totals = self._all
        state: State = ()
        chosen = []
        for number, step in enumerate(steps):
            at = rng.randrange(totals[number][state])
            for after, options in step[state].items():
                below = totals[number + 1][after]
                if at < len(options) * below:
                    break
                at -= len(options) * below
            chosen.append((options[at // below],))
            state = after
        return tuple(chosen)

    @cached_property
    def _all(self) -> tuple[list[Step], list[Mapping[State, int]]]:
        steps = self._steps(self.full)
        return steps, self._totals(steps, {(): 1})

    def _steps(self, arch: Arch) -> list[Step]:
        """The steps of the first slots, whose options are ``arch``."""
        steps: list[Step] = []
        states: set[State] = {()}
        for number, options in enumerate(arch):
            step: Step = {state: {} for state in states}
            for state, after in step.items():
                so_far = dict(zip(self.live[number], state, strict=True))
                if self._is_used(number, so_far):
                    self._go_on(number, so_far, options, after)
                elif 0 in options:
                    so_far[number] = UNUSED
                    after[tuple(so_far[slot] for slot in self.live[number + 1])] = [0]
            steps.append(step)
            states = {state for after in step.values() for state in after}
            if len(states) > MAX_STATES:
                raise UsageError(
                    f"the conditions and rules up to {self.slots[number].path} tie choices together in more than "
                    f"{MAX_STATES} combinations: let them name fewer choices, or some with fewer options"
                )
        return steps

    def _alone(self, number: int) -> frozenset[int]:
        """The options of a slot that satisfy the rules about this slot alone."""
        rules = [rule for rule in self.rules[number] if set(rule.slots) == {number}]
        return frozenset(o for o in self.full[number] if all(self.holds(rule, {number: o}) for rule in rules))

    def _go_on(
        self, number: int, so_far: dict[int, int], options: Sequence[int], after: dict[State, list[int]]
    ) -> None:
        """Notes in ``after`` where each option of a slot that is used leads."""
        allowed = [option for option in options if option in self._allowed[number]]
        live = self.live[number + 1]
        if number not in live and not self._joint[number]:  # all lead to the same state
            if allowed:
                after[tuple(so_far[slot] for slot in live)] = allowed
            return
        for option in allowed:
            so_far[number] = option
            if all(self.holds(rule, so_far) for rule in self._joint[number]):
                after.setdefault(tuple(so_far[slot] for slot in live), []).append(option)

    def holds(self, rule: Ruling, chosen_options: Mapping[int, int]) -> bool:
        """Whether ``rule`` holds, given the options of all its slots; it does where one of these is not used."""
        options = [chosen_options[slot] for slot in rule.slots]
        if UNUSED in options:
            return True
        return bool(rule.holds(*(self.slots[s].values[o] for s, o in zip(rule.slots, options, strict=True))))

    def _is_used(self, number: int, so_far: Mapping[int, int]) -> bool:
        return all(so_far[slot] in options for slot, options in self.slots[number].needs.items())

    def _totals(self, steps: Sequence[Step], last: Mapping[State, int]) -> list[Mapping[State, int]]:
        """The number of leaves behind each state before, between and after ``steps``; ``last`` has those after."""
        totals = [last]
        for step in reversed(steps):
            behind = totals[-1]
            totals.append(
                {
                    state: sum(len(options) * behind[to] for to, options in after.items())
                    for state, after in step.items()
                }
            )
        return totals[::-1]
