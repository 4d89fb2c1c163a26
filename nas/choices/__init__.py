"""Spaces by declaration: named choices, repeated and conditional, and a builder that reads them by name.

    from nas.choices import ChoiceSpace, choices, integers, one_of, repeated

    declared = choices(stage=repeated(3, depth=integers(1, 4), layer=repeated("depth", kernel=one_of(3, 5, 7))))
    space = ChoiceSpace(declared, build)  # build(choice, task) reads choice.stage[2].layer[0].kernel

See docs/choices.md.
"""

from nas.choices.declaration import choices, floats, integers, one_of, repeated
from nas.choices.reading import Choice
from nas.choices.space import Build, ChoiceSpace

__all__ = ["Build", "Choice", "ChoiceSpace", "choices", "floats", "integers", "one_of", "repeated"]
