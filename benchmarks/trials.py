"""Data of one's own as new users have it: trained, and beside what needs no training.

    python -m benchmarks.trials FOLDER                    all trials
    python -m benchmarks.trials FOLDER --only customers-shared digits
    python -m benchmarks.trials FOLDER --only photographs --embed efficientnet-lite0.onnx
    python -m benchmarks.trials FOLDER --only sentences-embedded --embed all-minilm-l6-v2.onnx

Each trial makes its data in FOLDER, trains and evaluates by the command line with the options that
are shown, and keeps what `evaluate --json` says, with the command of the training and how the run
stands on its validation classes, in results/trials/. docs/trials.md is rendered from all that are
there.

| trial | data |
|---|---|
| letters | the 659 characters of Omniglot's 20 evaluation alphabets, as folders of pictures |
| digits | scikit-learn's digits, as arrays: ten classes, of which six are trained on |
| photographs | 20 classes of mini-ImageNet, 60 pictures each, as features of a pretrained model |
| sentences | 30 sentences of Penn Treebank with each of 150 words, which is blanked out |
| sentences-embedded | the same, as features of a pretrained model |
| customers-… | customers by the rules of `quickstudy.experiments.customers` |

Omniglot, mini-ImageNet and Penn Treebank are read from `$QUICKSTUDY_DATA`.
"""

import argparse
import csv
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.adapted_best import best_on_average
from benchmarks.embeddings import write_folders
from quickstudy import checkpoint
from quickstudy.datasets import penn_treebank
from quickstudy.experiments import customers
from quickstudy.files import as_json, write_atomically

RESULTS, PAGE = Path("results/trials"), Path("docs/trials.md")
WORDS, SENTENCES = 150, 30
BEST_EPISODES = 100


def letters(folder: Path) -> str:
    """Black ink on white paper, 105 × 105."""
    write_folders.letters(Path(os.environ["QUICKSTUDY_DATA"]), folder / "letters", 20)
    return f"folder:{folder / 'letters'}"


def digits(folder: Path) -> str:
    """8 × 8 numbers from 0 to 16, as 64 features."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    np.savez(folder / "digits.npz", x=x.astype(np.float32), y=[f"digit {k}" for k in y])
    return f"npz:{folder / 'digits.npz'}"


def photographs(folder: Path) -> str:
    """Photographs in colour, 84 × 84."""
    write_folders.pictures(Path(os.environ["QUICKSTUDY_DATA"]), folder / "photographs", 60)
    return f"folder:{folder / 'photographs'}"


def sentences(folder: Path) -> str:
    """Sentences of which one word is blanked out; the class is the word. Words are drawn among
    these of four letters or more which are in 30 to 300 sentences."""
    text = [s for part in penn_treebank.load().values() for s in part]
    found: dict[str, list[int]] = {}
    for number, sentence in enumerate(text):
        for word in set(sentence):
            if word.isalpha() and len(word) > 3:
                found.setdefault(word, []).append(number)
    rng = np.random.default_rng(0)
    enough = sorted(w for w, places in found.items() if SENTENCES <= len(places) <= 300)
    taken: set[int] = set()
    path = folder / "sentences.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        written = 0
        for word in rng.permutation(enough):
            free = [n for n in found[word] if n not in taken]
            if len(free) < SENTENCES or written == WORDS:
                continue
            written += 1
            for number in rng.permutation(free)[:SENTENCES]:
                taken.add(int(number))
                blanked = ["___" if w == word else w for w in text[number]]
                table.writerow([" ".join(blanked), f"word {word}"])
    return f"text:{path}"


def of_customers(structure: str) -> Callable[[Path], str]:
    """The table of one structure."""

    def make(folder: Path) -> str:
        customers.write(folder / f"{structure}.csv", structure)
        return f"table:{folder / f'{structure}.csv'}"

    return make


@dataclass(frozen=True)
class Trial:
    """What is trained on which data."""

    make: Callable[[Path], str]
    """Makes the data in a folder and gives what `--tasks` takes."""
    learner: str
    options: str = ""
    episodes: int = 400
    embeds: bool = False


FUNCTIONS = "--task-column customer --target sales --shot 8 --query 15 --steps 500"
TRIALS = {
    "letters": Trial(letters, "protonet", "--filters 32 --minutes 4"),
    "digits": Trial(digits, "protonet", "--shot 5"),
    "photographs": Trial(photographs, "protonet", "--shot 5", embeds=True),
    "sentences": Trial(sentences, "protonet", "--shot 5 --minutes 4"),
    "sentences-embedded": Trial(sentences, "protonet", "--shot 5", embeds=True),
    **{
        f"customers-{structure}": Trial(of_customers(structure), "alpaca", FUNCTIONS, 220)
        for structure in customers.STRUCTURES
    },
}


def said(*words: str) -> str:
    """Run a command of the command line, and give what it printed."""
    run = [sys.executable, "-m", "quickstudy", *words]
    return subprocess.run(run, check=True, text=True, stdout=subprocess.PIPE).stdout


def tried(name: str, folder: Path, embed: str | None) -> dict[str, Any]:
    """Make the data of a trial, train and evaluate; give what is kept."""
    trial = TRIALS[name]
    folder.mkdir(parents=True)
    words = ["train", trial.learner, "--tasks", trial.make(folder), *trial.options.split()]
    if trial.embeds:
        assert embed is not None, f"{name}: give --embed MODEL.onnx"
        words += ["--embed", embed]
    run = str(folder / "run")
    said(*words, "--run", run)
    found = json.loads(said("evaluate", run, "--episodes", str(trial.episodes), "--json"))
    for each in found["results"]:
        each.pop("predictions", None)  # of a thousand queries
    header = checkpoint.read_header(Path(run) / "learner.qs")
    shown = [Path(word).name if word == embed else word.replace(f"{folder}/", "") for word in words]
    return {
        "trial": name,
        "training": shlex.join(["quickstudy", *shown]),
        "seconds": header["seconds"],
        "validation": header["validation"],
        "best": best_on_average(Path(run), BEST_EPISODES),
        **found,
    }


def row(found: dict[str, Any]) -> str:
    """A trial as a row of the page: the learner, each opponent, and the verdict."""
    (own,) = found["results"]
    metric = "accuracy" if "accuracy" in own else "mse"

    def figure(of: dict[str, Any]) -> str:
        return shown(of[metric])

    def shown(of: dict[str, float]) -> str:
        mean, half = of["mean"], of["interval_95"]
        if metric == "accuracy":
            return f"{100 * mean:.1f} ± {100 * half:.1f}"
        return f"{mean:.3f} ± {half:.3f}"

    others = "; ".join(f"{name} {figure(of)}" for name, of in found["opponents"].items())
    (verdict,) = found["verdicts"].values()
    unit = "accuracy, %" if metric == "accuracy" else metric
    cells = [found["trial"], f"`{found['training']}`", unit, figure(own), others, verdict]
    if (best := found.get("best")) is None:
        return f"| {' | '.join([*cells, 'not measured'])} |"
    taken = ", ".join(f"{name} {times}" for name, times in best["taken"].items())
    beside = f"{shown(best['best'])} (taken: {taken}); {shown(best['difference'])} from "
    beside += f"{best['best opponent']} at {shown(best[best['best opponent']])}"
    return f"| {' | '.join([*cells, beside])} |"


def render() -> None:
    """Write the page from all that was measured."""
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    lines = [
        "# Trials on data of one's own",
        "",
        "Each trial is a command that a new user may type, and `quickstudy evaluate` after it, on",
        "test classes (or customers) that neither training nor the choice of the best step has",
        "seen. One training each; intervals are over test episodes. Beside each learner stands",
        "what needs no training. `python -m benchmarks.trials` makes the data; its text says how.",
        "",
        "The last column is `quickstudy adapt --best` as it does on average: for each of 100 test",
        "support sets it takes the method that is best on left-out examples, without a look at the",
        "queries. Beside it stands the best free opponent on the same queries, chosen with a look",
        "at them, and the paired difference from it.",
        "",
        "| trial | training | unit | trained | free | verdict | `--best` |",
        "|---|---|---|---|---|---|---|",
        *map(row, found),
        "",
        "`results/trials/` has the commit, the machine and the protocol of each figure.",
    ]
    write_atomically(PAGE, ("\n".join(lines) + "\n").encode())


def main() -> None:
    parser = argparse.ArgumentParser(description="Trials on data of one's own.")
    parser.add_argument("folder", type=Path, help="a folder for data and runs")
    parser.add_argument("--only", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--embed", help="the model of the features, of one of these trials")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        found = tried(name, options.folder / name, options.embed)
        write_atomically(RESULTS / f"{name}.json", (as_json(found, indent=1) + "\n").encode())
        print(row(found), flush=True)
    render()


if __name__ == "__main__":
    main()
