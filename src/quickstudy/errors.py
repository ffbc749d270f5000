"""What a user can put right."""


class UserError(Exception):
    """Something that the user can put right: the message is one line that says what is wrong,
    where, and what to do. The command line prints it and exits with status 2, no traceback.

    >>> raise UserError("way is 0; an episode needs at least 2 classes: --way 5")
    Traceback (most recent call last):
    quickstudy.errors.UserError: way is 0; an episode needs at least 2 classes: --way 5
    """


def nearest(word: str, known: list[str]) -> str:
    """The end of an error message about an unknown name: the nearest names, then all of them.

    >>> nearest("protonte", ["maml", "protonet"])
    'did you mean protonet? (known: maml, protonet)'
    """
    import difflib

    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    everything = ", ".join(known)
    if close:
        return f"did you mean {' or '.join(close)}? (known: {everything})"
    return f"known: {everything}"
