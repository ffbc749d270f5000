"""What a run keeps of the user's own data: the names of its training, validation and test classes.
Plain Python: no arrays.
"""

import difflib
import hashlib
import json
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickstudy.errors import UserError

SPLITS = ("train", "validation", "test")
UNUSED = "unused"

VALIDATION, TEST = 0.16, 0.2
"""The shares of the classes; the rest, 0.64, is to train on. They are miniImageNet's."""

FEWEST = 2
"""Classes that an episode needs."""


@dataclass(frozen=True)
class ClassSplit:
    """The names of the classes of each part. As JSON: the file that `--split` takes, and that a
    run keeps.

    >>> ClassSplit(("ant", "bee"), ("cat",), ("dog",)).to_json()
    {'train': ['ant', 'bee'], 'validation': ['cat'], 'test': ['dog'], 'unused': []}
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    """The training classes themselves where there are too few for validation classes."""
    test: tuple[str, ...]
    unused: tuple[str, ...] = ()
    """Classes of the data that are in no part."""

    @staticmethod
    def of(
        train: Sequence[str], validation: Sequence[str], test: Sequence[str], names: Sequence[str]
    ) -> "ClassSplit":
        """These parts of data that has the classes `names`."""
        used = {*train, *validation, *test}
        unused = tuple(name for name in names if name not in used)
        return ClassSplit(tuple(train), tuple(validation), tuple(test), unused)

    def part(self, part: str) -> tuple[str, ...]:
        """The names of the classes of "train", "validation" or "test", in their order."""
        return getattr(self, part)

    @property
    def validates_on_training_classes(self) -> bool:
        """Whether there were too few for validation classes."""
        return self.validation == self.train

    def among(self, names: Sequence[str]) -> "ClassSplit":
        """The same parts of data that has the classes `names`."""
        return ClassSplit.of(self.train, self.validation, self.test, names)

    def without(self, names: Collection[str]) -> "ClassSplit":
        """The same parts without some classes, which are unused then."""
        train, validation, test, unused = (
            tuple(n for n in part if n not in names)
            for part in (self.train, self.validation, self.test, self.unused)
        )
        return ClassSplit(train, validation, test, (*unused, *sorted(names)))

    def require_two(self, where: str) -> None:
        """Raise `UserError`, which names `where` it is, unless each part has two classes."""
        for part in SPLITS:
            if len(names := self.part(part)) < FEWEST:
                has = f"class {names[0]!r} alone" if names else "no class"
                raise UserError(
                    f"{where} has {has} under {part}, and an episode needs {FEWEST} at least: "
                    "give this part another class (--split FILE)"
                )

    def unknown(self, names: Collection[str]) -> list[str]:
        """Those of `names` that this split says nothing of."""
        known = {*self.train, *self.validation, *self.test, *self.unused}
        return [name for name in names if name not in known]

    def to_json(self) -> dict[str, list[str]]:
        """Plain JSON values, from which `from_json` makes the split again."""
        return {part: list(getattr(self, part)) for part in (*SPLITS, UNUSED)}

    @staticmethod
    def from_json(found: Any) -> "ClassSplit":
        """The inverse of `to_json`. Raises `ValueError` where a part is missing or empty, or a
        class is named twice."""
        if not (
            isinstance(found, dict)
            and set(found) - {UNUSED} == set(SPLITS)
            and all(isinstance(names, list) for names in found.values())
            and all(found[part] for part in SPLITS)
            and all(isinstance(name, str) for names in found.values() for name in names)
        ):
            raise ValueError(
                'it must be {"train": [names], "validation": [names], "test": [names]}, with a '
                "class in each"
            )
        home: dict[str, str] = {}
        for part in SPLITS:
            if part == "validation" and found[part] == found["train"]:
                continue
            for name in found[part]:
                if home.get(name) == part:
                    raise ValueError(f"it lists class {name!r} twice under {part}")
                if name in home:
                    raise ValueError(
                        f"it lists class {name!r} under {home[name]} and under {part}: keep it in "
                        "one, or test classes would not be new"
                    )
                home[name] = part
        return ClassSplit(*(tuple(found.get(part, ())) for part in (*SPLITS, UNUSED)))


NOT_KEPT = ClassSplit((), (), ())
"""Of a run that an earlier version trained, which kept no names of classes."""


Order = Callable[[Sequence[str], int], list[str]]


def by_hash(names: Sequence[str], seed: int) -> list[str]:
    """`names` in a random order in which each has a place of its own, the SHA-256 of seed and
    name: a name that is added or taken away leaves the order of the others as it is."""

    def place(name: str) -> bytes:
        return hashlib.sha256(f"{seed} {name}".encode(errors="surrogatepass")).digest()

    return sorted(names, key=place)


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    """`names` in the random order of earlier versions: one more name changes all of it."""
    order = list(names)
    random.Random(seed).shuffle(order)
    return order


def random_split(
    names: Sequence[str],
    seed: int,
    data: str = "the data",
    order: Order = by_hash,
    things: tuple[str, str] = ("class", "classes"),
) -> ClassSplit:
    """Classes divided at random, 64 : 16 : 20, but at least two to validate and two to test on.
    Of four or five classes two are to test on, and validation is on the training classes. Each
    part is in the order of `names`.

    One class more or less moves one class at most across each of the two borders between parts;
    as all parts keep their shares, some class has to move now and then.

    Raises `UserError`, which names `data` and calls classes `things`, for fewer than four of them.

    >>> [len(random_split([str(i) for i in range(50)], 0).part(part)) for part in SPLITS]
    [32, 8, 10]
    """
    count = len(names)
    if count < 2 * FEWEST:
        raise UserError(
            f"{data} has {count} {things[count != 1]}, and the fewest to train and test on are 4: "
            f"two to train on and two others to test on; add {things[1]}, or give these to a "
            "learner that is trained on others (quickstudy adapt)"
        )
    test = max(FEWEST, round(TEST * count))
    validation = max(FEWEST, round(VALIDATION * count)) if count >= 3 * FEWEST else 0
    mixed = order(names, seed)
    train = count - validation - test
    dealt = mixed[:train], mixed[train : train + validation], mixed[train + validation :]
    place = {name: i for i, name in enumerate(names)}
    parts = [sorted(part, key=place.__getitem__) for part in dealt]
    return ClassSplit.of(parts[0], parts[1] or parts[0], parts[2], names)


def read_split(path: Path, names: Sequence[str]) -> ClassSplit:
    """The split that a JSON file gives, {"train": [names...], "validation": [...], "test":
    [...]}, of data with the classes `names`. Classes that it does not mention are left out.

    Raises `UserError` for a file that is not of this form, an unknown class, and a class that
    is listed twice.
    """
    try:
        given = ClassSplit.from_json(_read(path))
    except ValueError as error:
        raise UserError(f"the split file {path} cannot be used: {error}") from None
    known = set(names)
    for part in SPLITS:
        for name in given.part(part):
            if name not in known:
                close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
                raise UserError(
                    f"the split file {path} lists {name!r} under {part}, but the data has no such "
                    f"class: did you mean {' or '.join(close or names[:3])}?"
                )
    return given.among(names)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no split file {path}: check its path") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"the split file {path} cannot be read as JSON: {error}") from None
