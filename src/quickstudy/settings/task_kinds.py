"""The tasks that `--tasks` takes: the one list of them. Nothing here imports JAX."""

from __future__ import annotations

from quickstudy.errors import UserError, nearest

KINDS = {
    "glyphs": "procedural characters without end; nothing to download",
    "omniglot": "1,623 handwritten characters of 50 alphabets (Lake et al. 2015)",
    "penn-treebank": "words as classes: which word is blanked out (Vinyals et al. 2016)",
    "synthetic-tables": "tables with a label, each from a random mechanism of its own",
    "sinusoid": "sine curves of random amplitude and phase (Finn et al. 2017)",
    "gaussian-processes": "draws from Gaussian processes with random kernels (Kim et al. 2019)",
    "fixed-gaussian-process": "draws from one Gaussian process (Garnelo et al. 2018)",
    "mnist-completion": "pictures as functions of the place, of which some pixels are told",
    "folder:PATH": "your own images: a sub-folder for each class",
    "npz:PATH": "your own arrays x and y",
    "table:PATH": "your own rows: a CSV or Parquet table with a label column",
    "packed:FOLDER": "your own images beyond memory, as quickstudy data folder:PATH packs them",
    "cub:FOLDER": "200 kinds of birds with descriptions (Wah et al. 2011), your own image features",
    "mnist": "handwritten digits (LeCun et al. 1998), to test on alone",
    "lake-runs": "Lake's 20 one-shot runs on Omniglot, to test on alone",
}
"""What each is. Names with a colon are the user's own data, and where it lies."""

OWN = tuple(name.partition(":")[0] for name in KINDS if ":" in name)
"""The user's own data."""

TEST_ONLY = ("mnist", "lake-runs")

FUNCTIONS = ("sinusoid", "gaussian-processes", "fixed-gaussian-process", "mnist-completion")
"""Tasks that are not classification: a function in each episode."""

WITHOUT_CLASSES = (*FUNCTIONS, "synthetic-tables")
"""Tasks that are not cut out of classes."""


def require_known(tasks: str) -> None:
    """Raise `UserError` unless `KINDS` has such tasks, and they have a path if they need one.

    >>> require_known("glyphs:x")
    Traceback (most recent call last):
    quickstudy.errors.UserError: --tasks glyphs:x: nothing comes after glyphs: --tasks glyphs
    """
    kind, colon, path = tasks.partition(":")
    known = {name.partition(":")[0]: name for name in KINDS}
    if kind not in known:
        raise UserError(f"there are no tasks {tasks!r}: {nearest(kind, list(KINDS))}")
    if ":" not in known[kind] and colon:
        raise UserError(f"--tasks {tasks}: nothing comes after {kind}: --tasks {kind}")
    if ":" in known[kind] and not path:
        raise UserError(f"--tasks {tasks}: it does not say where your data is: {known[kind]}")
