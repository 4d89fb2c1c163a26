"""Plain data out of a pickle, without running what it names and without holding all of it in memory."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator, Mapping, Sized
from typing import Any, BinaryIO

from nas.data.bounded import Bomb
from nas.data.pickle_values import ALLOWED, Dtype, Global, Lists, Weights, fixed, frozen
from nas.data.pickle_values import ARRAYS as ARRAYS  # what readers know from here
from nas.data.pickle_values import Array as Array
from nas.errors import UsageError

Summarise = Callable[[dict[Any, Any]], list[Any] | None]
"""Looks at a dictionary when its items have been set. None leaves it as it is. A list says that it was made smaller in
place, so that its former content can be forgotten, and holds what `Unpickler.pieces` yields for it."""


def leave(record: dict[Any, Any]) -> None:
    """Summarises nothing."""


MAX_BYTES = 2**28
"""Bytes of one value; none in a table of numbers comes near it."""
MAX_MARKS = 10_000
"""Containers that are begun and not ended; picklers themselves stop at about a thousand nested ones."""
MAX_ARGUMENTS = 16
PROTOCOLS = range(2, 6)

FREE_WORDS, WORDS_PER_BYTE = 4_000_000, 16
"""Words of eight bytes that a pickle's values may take, whatever its size, and for each of its bytes that was read.
Scalars and items are not counted: each takes some bytes of the pickle, which an item of a copy does not."""
CONTAINER, SET, ENTRY, SCALAR, REFERENCE, MARK = 12, 27, 12, 4, 8, 8
"""Words of an empty list or dictionary, of an empty set, of an entry of either, of a number, of what is numbered for
later reference, of a mark."""

_FLOAT, _SHORT, _INT, _WORD, _LONG = (struct.Struct(form).unpack for form in (">d", "<H", "<i", "<I", "<Q"))


class Unpickler:
    """Reads one pickle of protocol 2 to 5 as plain data: numbers, texts, lists, tuples, sets, dictionaries.

    It is our own restricted unpickler: names in the pickle are looked up in ``allowed`` alone, so there is no way to
    reach, import or call anything else.

    Memory: what ``summarise`` removed is forgotten. Besides what remains, the unpickler keeps each distinct text and
    short list of texts once, since a pickle may refer back to them from anywhere, and four bytes for everything that
    the pickle numbers for later reference.

    Args:
        file: open for reading, buffered, at the pickle's first byte; afterwards it is just behind the pickle's last.
        summarise: see `Summarise`.
        allowed: what the pickle may name, and what takes its place.
        storages: whether it may refer to storages of weights outside of it, as torch's pickles do.

    Raises:
        UsageError: the pickle names something that is not allowed.
        Bomb: it makes more than a pickle of its size does.
        ValueError, EOFError, TypeError, LookupError, struct.error, AttributeError: it is damaged.
    """

    def __init__(
        self,
        file: BinaryIO,
        summarise: Summarise = leave,
        allowed: Mapping[tuple[str, str], Any] = ALLOWED,
        storages: bool = False,
    ) -> None:
        self.file = file
        self.storages = storages
        self.allowed = allowed
        self.summarise = summarise
        self.stack: list[Any] = []
        self._below: list[tuple[list[Any], int]] = []  # for each open mark: the stack under it, containers known then
        self._numbers: dict[Any, int] = {}  # the number of each value that is kept once for all its places
        self._atoms: list[Any] = [None]
        self._memo = array("I")  # per memo index a number in `_atoms`; 0 for what is in `_containers`, or forgotten
        self._containers: dict[int, Any] = {}
        self._start = file.tell()
        self._words, self._granted = 0, FREE_WORDS
        self._frame_end = 0

    def load(self) -> Any:
        """All of the pickle."""
        for _ in self.pieces():
            pass
        return self.stack[-1]

    def pieces(self) -> Iterator[Any]:
        """What ``summarise`` returns, as the pickle is read."""
        read, others = self.file.read, _OTHERS
        self._begin()
        while True:
            code = read(1)
            if code == b"G":
                self.stack.append(_FLOAT(read(8))[0])
            elif code == b"j":
                self.stack.append(self._get(_WORD(read(4))[0]))
            elif code == b"h":
                self.stack.append(self._get(read(1)[0]))
            elif code == b"K":
                self.stack.append(read(1)[0])
            elif code == b"X":
                self.stack.append(str(self._bytes(_WORD(read(4))[0]), "utf-8"))
            elif code == b"\x8c":
                self.stack.append(str(self._bytes(read(1)[0]), "utf-8"))
            elif code == b"\x94":
                self._put(len(self._memo))
            elif code == b"r":
                self._put(_WORD(read(4))[0])
            elif code == b"q":
                self._put(read(1)[0])
            elif code == b"u":
                yield from self._set_items()
            elif code == b"s":
                key, value = self.stack[-2:]
                del self.stack[-2:]
                self._dictionary()[fixed(key)] = value
                yield from self.summarise(self.stack[-1]) or ()
            elif code == b".":
                self._end()
                return
            elif code in others:
                others[code](self)
            elif code:
                raise ValueError(f"there is no pickle operation {code!r} in protocols 2 to 5, or no use for it here")
            else:
                raise EOFError("it ends in the middle")

    def _begin(self) -> None:
        code, protocol = self.file.read(1), self.file.read(1)
        if not protocol:
            raise EOFError("it ends in the middle")
        if code != b"\x80" or protocol[0] not in PROTOCOLS:
            raise ValueError("it does not begin as a pickle of a protocol from 2 to 5")

    def _end(self) -> None:
        if self._below or len(self.stack) != 1:
            raise ValueError("it ends with something left over")
        if self.file.tell() < self._frame_end:
            raise ValueError("it ends within a frame")

    def frame(self) -> None:
        """Begins a frame, which states its length; the next one begins behind it."""
        (length,) = _LONG(self.file.read(8))
        if self.file.tell() - 9 < self._frame_end:
            raise ValueError("a frame begins within another one")
        self._frame_end = self.file.tell() + length

    def spend(self, words: int) -> None:
        """Counts the memory of what is made; `Bomb` where it exceeds what the bytes read so far may make."""
        self._words += words
        if self._words > self._granted:
            size = self.file.tell() - self._start
            self._granted = FREE_WORDS + WORDS_PER_BYTE * size
            if self._words > self._granted:
                raise Bomb(size, "words of eight bytes", self._granted)

    def _bytes(self, count: int) -> bytes:
        if not 0 <= count <= MAX_BYTES:
            raise ValueError(f"a single value of {count:,} bytes")
        content = self.file.read(count)
        if len(content) < count:
            raise EOFError("it ends in the middle")
        return content

    def _put(self, index: int) -> None:
        value, number = self.stack[-1], 0
        if type(value) in (str, Global, Dtype):
            number = self._number(value, value)
        else:
            self.spend(REFERENCE)
            self._containers[index] = value
        if index == len(self._memo):  # picklers count upwards
            self._memo.append(number)
        else:
            self._memo[index] = number

    def _number(self, key: Any, value: Any) -> int:
        number = self._numbers.get(key, 0)
        if not number:
            number = self._numbers[key] = len(self._atoms)
            self._atoms.append(value)
        return number

    def _get(self, index: int) -> Any:
        number = self._memo[index]
        if number:
            return self._atoms[number]
        if index not in self._containers:
            raise LookupError("it refers back to part of a network's results that was read and left")
        return self._containers[index]

    def _dictionary(self) -> dict[Any, Any]:
        if type(self.stack[-1]) is not dict:
            raise TypeError(f"items are set on a {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def _set_items(self) -> list[Any]:
        outer_count = self._below[-1][1]
        items = self.pop_mark()
        record = self._dictionary()
        record.update(zip(map(fixed, items[::2]), items[1::2], strict=True))
        pieces = self.summarise(record)
        if pieces is None:
            return []
        while len(self._containers) > outer_count:  # what came after the mark is in the dictionary
            index, value = self._containers.popitem()
            if key := _key_of_small(value):
                self._memo[index] = self._number(key, value)
        return pieces

    def mark(self) -> None:
        self.spend(MARK)
        if len(self._below) == MAX_MARKS:
            raise ValueError(f"more than {MAX_MARKS:,} containers are begun and not ended")
        self._below.append((self.stack, len(self._containers)))
        self.stack = []

    def pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack, _ = self._below.pop()
        return items

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def container(self, value: Any) -> None:
        """Pushes a new container."""
        self.spend(SET if isinstance(value, set | frozenset) else CONTAINER)
        self.stack.append(value)

    def storage(self) -> None:
        """Replaces a reference to a storage of weights by `Weights`, which are not read."""
        name = self.stack[-1]
        if not self.storages or type(name) is not tuple or name[:1] != ("storage",):
            raise ValueError("it refers to something that lies elsewhere")
        self.stack[-1] = Weights()

    def number(self, unpack: Callable[[bytes], tuple[Any, ...]], size: int) -> Any:
        return unpack(self.file.read(size))[0]

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError("a tuple of more values than there are")
        self.spend(CONTAINER)
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def find(self, module: str, name: str) -> None:
        if (module, name) not in self.allowed:
            printable_name = "".join(sign if sign.isprintable() else "?" for sign in f"{module}.{name}"[:200])
            raise UsageError(
                f"it asks for {printable_name}, which no table of numbers needs and which could run any program: "
                "nothing of it was run, nothing was written"
            )
        self.push(Global(f"{module}.{name}", self.allowed[module, name]))

    def find_by_lines(self) -> None:
        module, name = (self.file.readline(512).decode().rstrip("\n") for _ in range(2))
        self.find(module, name)

    def find_by_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("what is asked for has no name")
        self.find(module, name)

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Global or type(arguments) is not tuple or len(arguments) > MAX_ARGUMENTS:
            raise TypeError(f"a {type(function).__name__} is called")
        copied = sum(len(part) for part in arguments if isinstance(part, Sized))
        self.spend(CONTAINER + REFERENCE + ENTRY * copied)
        self.push(function.make(*arguments))

    def build(self) -> None:
        """Sets the attributes of what is a dictionary here, or the content of a numpy type or array."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Dtype | Array | Lists | Weights):
            if isinstance(target, Lists) and isinstance(state, tuple) and isinstance(state[-1], Sized):
                self.spend(SCALAR * len(state[-1]))
            target.build(state)
            return
        parts = state if type(state) is tuple else (state,)  # attributes in __dict__, then those in slots
        if len(parts) > 2 or not all(part is None or type(part) is dict for part in parts):
            raise TypeError(f"the attributes of an object are a {type(state).__name__}")
        for part in parts:
            self.spend(ENTRY * len(part or ()))
            self._dictionary().update(part or {})


MAX_SMALL_ENTRIES = 8
"""Entries of a list, tuple, set or dictionary that is kept, by value, after its container is forgotten."""


def _key_of_small(value: Any) -> Any:
    """A key that equal values share, where ``value`` is a short container of texts and whole numbers; else None."""
    if not isinstance(value, list | tuple | set | dict) or len(value) > MAX_SMALL_ENTRIES:
        return None
    parts = [*value, *value.values()] if isinstance(value, dict) else list(value)
    kinds = tuple(type(part) for part in parts)
    return (type(value), kinds, *parts) if set(kinds) <= {str, int, bool, type(None)} else None


def _extend(machine: Unpickler, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, set):
        target.update(map(fixed, items))
    elif isinstance(target, list):
        target.extend(items)
    else:
        raise TypeError(f"a {type(target).__name__} is extended")


def _long(machine: Unpickler) -> None:
    size = machine.file.read(1)[0]
    machine.push(int.from_bytes(machine.file.read(size), "little", signed=True))


_OTHERS: dict[bytes, Callable[[Unpickler], Any]] = {
    b"\x95": Unpickler.frame,
    b"(": Unpickler.mark,
    b"0": lambda machine: machine.stack.pop(),
    b"1": Unpickler.pop_mark,
    b"N": lambda machine: machine.push(None),
    b"\x88": lambda machine: machine.push(True),
    b"\x89": lambda machine: machine.push(False),
    b"J": lambda machine: machine.push(machine.number(_INT, 4)),
    b"M": lambda machine: machine.push(machine.number(_SHORT, 2)),
    b"\x8a": _long,
    b"B": lambda machine: machine.push(machine._bytes(machine.number(_WORD, 4))),
    b"C": lambda machine: machine.push(machine._bytes(machine.file.read(1)[0])),
    b"T": lambda machine: machine.push(machine._bytes(machine.number(_INT, 4))),  # Python 2's text
    b"U": lambda machine: machine.push(machine._bytes(machine.file.read(1)[0])),
    b"\x8e": lambda machine: machine.push(machine._bytes(machine.number(_LONG, 8))),
    b"\x8d": lambda machine: machine.push(str(machine._bytes(machine.number(_LONG, 8)), "utf-8")),
    b"]": lambda machine: machine.container([]),
    b")": lambda machine: machine.push(()),
    b"}": lambda machine: machine.container({}),
    b"\x8f": lambda machine: machine.container(set()),
    b"a": lambda machine: _extend(machine, [machine.stack.pop()]),
    b"e": lambda machine: _extend(machine, machine.pop_mark()),
    b"\x90": lambda machine: _extend(machine, machine.pop_mark()),
    b"\x91": lambda machine: machine.container(frozen(machine.pop_mark())),
    b"t": lambda machine: machine.container(tuple(machine.pop_mark())),
    b"\x85": lambda machine: machine.tuple_of(1),
    b"\x86": lambda machine: machine.tuple_of(2),
    b"\x87": lambda machine: machine.tuple_of(3),
    b"c": Unpickler.find_by_lines,
    b"\x93": Unpickler.find_by_stack,
    b"R": Unpickler.call,
    b"\x81": Unpickler.call,  # a new object of a class, with arguments
    b"b": Unpickler.build,
    b"Q": Unpickler.storage,
}
