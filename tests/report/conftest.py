"""A report on made-up data: bent lines for characters, figures from a seeded generator."""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from quickstudy.estimate import Estimate
from quickstudy.report.data import (
    Calibration,
    Confusion,
    Curve,
    CurveEpisode,
    Embedding,
    ImageEpisode,
    Line,
    ReportData,
    Row,
    Sweep,
)

NAMES = ["Angelic/character01", "Bengali/ka", "Cyrillic/zhe", "Ge'ez/ha", "Korean/ㅎ"]


def character(k: int, rng: np.random.Generator) -> np.ndarray:
    """A 28 × 28 image of character k, a little different each time it is drawn."""
    turns = np.random.default_rng(k).uniform(3, 25, (5, 2)) + rng.normal(0, 1, (5, 2))
    picture = Image.new("L", (28, 28))
    ImageDraw.Draw(picture).line([tuple(turn) for turn in turns], fill=255, width=2)
    return np.asarray(picture, np.float32)[..., None] / 255


def image_episode(way: int = 5, shot: int = 1, queries: int = 4) -> ImageEpisode:
    rng = np.random.default_rng(0)
    support, query = np.repeat(np.arange(way), shot), np.repeat(np.arange(way), queries)
    logits = 3 * np.eye(way)[query] + rng.normal(0, 2, (len(query), way))
    return ImageEpisode(
        names=[NAMES[k] if k < len(NAMES) else f"character{k:02}" for k in range(way)],
        support_images=np.stack([character(k, rng) for k in support]),
        support_labels=support,
        query_images=np.stack([character(k, rng) for k in query]),
        query_labels=query,
        probabilities=np.exp(logits) / np.exp(logits).sum(1, keepdims=True),
    )


def curve(name: str, rate: float) -> Curve:
    rng, steps = np.random.default_rng(len(name)), np.arange(2000)
    fraction = 1 - 0.75 * np.exp(-rate * steps / 400)
    checks = np.arange(199, 2000, 200)
    return Curve(
        name=name,
        steps=steps,
        loss=1.6 * np.exp(-rate * steps / 400) + 0.1 + rng.gamma(2, 0.06, 2000),
        metric=np.clip(fraction + rng.normal(0, 0.04, 2000), 0, 1),
        validation_steps=checks,
        validation=fraction[checks] - 0.03 + rng.normal(0, 0.01, 10),
    )


def calibration(name: str, sharpness: float) -> Calibration:
    middles = (np.arange(15) + 0.5) / 15
    counts = np.where(middles > 0.2, np.round(4000 * middles**4), 0)
    return Calibration(name, counts, middles, np.clip(0.5 + (middles - 0.5) * sharpness, 0, 1))


def sinusoid() -> CurveEpisode:
    x, shown = np.linspace(-5, 5, 101), np.array([-4.0, -2.5, -2.0, 0.5, 1.0])
    return CurveEpisode(
        support_x=shown,
        support_y=2 * np.sin(shown + 1),
        x=x,
        truth=2 * np.sin(x + 1),
        predictions={"before adapting": 0.1 * x, "after 10 steps": 1.9 * np.sin(0.98 * x + 1)},
    )


def full_report(**changes: Any) -> ReportData:
    """Every section, filled; `changes` replace fields."""
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(5), 30)
    centres = rng.normal(0, 4, (5, 2))
    steps = np.array([0, 1, 2, 5, 10, 20])
    fields: dict[str, Any] = {
        "title": "Four learners on glyphs, 5-way 1-shot",
        "metric": "accuracy",
        "episodes": 600,
        "chance": 0.2,
        "rows": [
            Row(
                "ProtoNet",
                Estimate(0.9612, 0.0041, 600),
                Estimate(0.131, 0.012, 600),
                0.021,
                "inductive",
            ),
            Row(
                "MAML",
                Estimate(0.9433, 0.0052, 600),
                Estimate(0.182, 0.016, 600),
                0.034,
                "transductive",
                Estimate(-0.0179, 0.0049, 600),
            ),
            Row(
                "fine-tuning",
                Estimate(0.702, 0.011, 600),
                Estimate(0.83, 0.03, 600),
                0.091,
                "inductive",
                Estimate(-0.259, 0.011, 600),
            ),
            Row(
                "raw pixels",
                Estimate(0.481, 0.012, 600),
                Estimate(1.31, 0.02, 600),
                0.162,
                "inductive",
                Estimate(-0.480, 0.012, 600),
            ),
        ],
        "protocol": {
            "data": "procedural glyphs",
            "split": "test: 200 classes never trained on",
            "way": 5,
            "shot": 1,
            "queries": 15,
            "rotations": [0, 90, 180, 270],
            "batch norm": "support statistics (inductive)",
            "inner steps at test": 3,
            "first order": False,
            "episodes": 600,
            "seed": 0,
            "command": "quickstudy demo --way 5 --shot 1 --seed 0 --out report.html",
            "commit": "02366ad",
            "machine": "2 CPU cores",
            "versions": {"python": "3.11", "jax": "0.10.2", "quickstudy": "0.1.0"},
        },
        "curves": [curve("ProtoNet", 1.4), curve("MAML", 0.8)],
        "episode": image_episode(),
        "sweeps": [
            Sweep(
                "inner steps",
                [
                    Line("MAML", steps, 0.95 - 0.75 * 0.25**steps, np.full(6, 0.006)),
                    Line("fine-tuning", steps, 0.7 - 0.5 * 0.8**steps, np.full(6, 0.011)),
                ],
            )
        ],
        "calibration": [calibration("ProtoNet", 0.97), calibration("MAML", 0.75)],
        "embedding": Embedding(
            NAMES, centres[labels] + rng.normal(0, 0.9, (150, 2)), labels, centres, 0.71
        ),
        "confusions": [
            Confusion(NAMES[a], NAMES[b], 24 - 5 * i, 120, character(a, rng), character(b, rng))
            for i, (a, b) in enumerate([(0, 1), (3, 4), (4, 2)])
        ],
    }
    return ReportData(**(fields | changes))
