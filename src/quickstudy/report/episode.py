"""One episode, drawn: what the learner studies, and what it then says."""

from collections.abc import Sequence
from html import escape

import numpy as np

from quickstudy.report import figures
from quickstudy.report.data import CurveEpisode, ImageEpisode
from quickstudy.report.markup import Section, figure, image

MOST_CLASSES, MOST_EACH = 20, 5  # what is drawn: classes, and images of each


def section(episode: ImageEpisode | CurveEpisode) -> Section:
    if isinstance(episode, CurveEpisode):
        lead = "One task as the learner meets it: from the support points alone, it must guess "
        lead += "the whole curve."
        body = figure(figures.regression("episode", episode))
        return Section("episode", "An episode", "One episode, drawn", lead, body)
    lead = "One task as the learner meets it: it studies the support images, then says of each "
    lead += "query which of those classes it belongs to."
    names, guesses = episode.names, np.argmax(episode.probabilities, axis=1)
    classes = range(min(len(names), MOST_CLASSES))
    support = [
        [
            image(episode.support_images[i], f"support image of {names[k]}")
            for i in _first(episode.support_labels, k)
        ]
        for k in classes
    ]
    queries = [
        [_query(episode, i, int(guesses[i])) for i in _first(episode.query_labels, k)]
        for k in classes
    ]
    right = int(np.sum(guesses == episode.query_labels))
    caption = f"{right} of {len(guesses)} queries right. ✓ right, ✗ wrong; the number is the "
    caption += "class predicted, then the probability given to it."
    drawn = sum(map(len, queries))
    caption += f" {drawn} of the queries are drawn." if drawn < len(guesses) else ""
    body = (
        f"<h3>Support: what it studies</h3>\n{_by_class(names, support)}"
        f"<h3>Queries, under their true class: what it is tested on</h3>\n"
        f'{_by_class(names, queries)}<p class="caption">{caption}</p>'
    )
    return Section("episode", "An episode", "One episode, drawn", lead, body)


def _by_class(names: Sequence[str], tiles: list[list[str]]) -> str:
    items = "".join(
        f'<li class="{_colour(k)}"><span class="class">{_chip(k)} {escape(names[k])}</span>'
        f'<span class="tiles">{"".join(own)}</span></li>\n'
        for k, own in enumerate(tiles)
    )
    return f'<ul class="classes">\n{items}</ul>\n'


def _query(episode: ImageEpisode, i: int, guess: int) -> str:
    right = guess == episode.query_labels[i]
    mark, word = ("✓", "right") if right else ("✗", "wrong")
    percent = f"{100 * episode.probabilities[i, guess]:.0f}%"
    true, predicted = episode.names[episode.query_labels[i]], episode.names[guess]
    alt = f"query of {true}, predicted {predicted} with probability {percent}: {word}"
    return (
        f'<span class="query {word}">{image(episode.query_images[i], alt)}'
        f'<span aria-hidden="true" class="{_colour(guess)}">'
        f"<b>{mark}</b> {_chip(guess)} {percent}</span></span>"
    )


def _first(labels: np.ndarray, k: int) -> np.ndarray:
    return np.flatnonzero(labels == k)[:MOST_EACH]


def _colour(k: int) -> str:
    return f"class-{k % len(figures.CLASSES)}"


def _chip(k: int) -> str:
    return f'<span class="chip">{k + 1}</span>'
