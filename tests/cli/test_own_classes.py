"""A run keeps the names of its classes of the user's own data: what is added, renamed or taken away
later moves no training class into the test. And data of few classes."""

import json
import re

import jax
import numpy as np
import pytest
from PIL import Image

from quickstudy import checkpoint
from quickstudy.data.own import Own
from quickstudy.data.registry import _data_of
from quickstudy.datasets import packed
from quickstudy.datasets.kept import SPLITS
from quickstudy.runs.learning import prepared, training
from quickstudy.runs.saved import SavedRun
from quickstudy.settings.learners import PixelsSettings, ProtoNetSettings
from quickstudy.settings.run import RunSettings, TaskSettings

TWENTY = [f"c{i:02}" for i in range(20)]
SMALL = ("--way", "2", "--query", "2")
FEW = (*SMALL, "--train-query", "2")
PARTLY = (*FEW, "--shot", "2", "--labelled", "0.5")
FEATURES = 4


@pytest.fixture
def well(run):
    """A command that succeeds: what it says and prints."""

    def well(*words: object) -> tuple[str, str]:
        status, said, printed = run(*words)
        assert status == 0, said
        return said, printed

    return well


@pytest.fixture
def mistake(run):
    """A command that must fail: the last line that it says."""

    def mistake(*words: object) -> str:
        status, said, _ = run(*words)
        assert status == 2
        return said.strip().splitlines()[-1]

    return mistake


def examples(name: str, each: int = 4) -> np.ndarray:
    """Of one class: the same numbers whatever other classes there are."""
    rng = np.random.default_rng(list(name.encode()))
    return rng.normal(size=FEATURES) + 0.5 * rng.normal(size=(each, FEATURES))


def write_npz(path, names, each: int = 4) -> None:
    x = np.concatenate([examples(name, each) for name in names]).astype(np.float32)
    np.savez(path, x=x, y=np.repeat(names, each))


def write_table(path, names) -> None:
    rows = [",".join(map(str, row)) + f",{n}" for n in names for row in examples(n).tolist()]
    path.write_text("\n".join(["a,b,c,d,label", *rows]) + "\n")


def pictures(name: str) -> np.ndarray:
    rng = np.random.default_rng(list(name.encode()))
    return rng.integers(0, 255, (4, 16, 16, 1), dtype=np.uint8)


def write_folder(path, names) -> None:
    for name in names:
        (path / name).mkdir(parents=True, exist_ok=True)
        for i, picture in enumerate(pictures(name)):
            Image.fromarray(picture[..., 0]).save(path / name / f"{i}.png")


def write_packed(path, names) -> None:
    for file in path.iterdir() if path.exists() else ():
        file.unlink()
    rows = (picture for name in names for picture in pictures(name))
    packed.write(path, rows, dict.fromkeys(names, 4), (16, 16, 1))


def write_cub(path, names) -> None:
    (path / "attributes").mkdir(parents=True, exist_ok=True)
    every = [name for name in names for _ in range(4)]
    (path / "classes.txt").write_text("".join(f"{i} {n}\n" for i, n in enumerate(names, 1)))
    (path / "images.txt").write_text("".join(f"{i} {n}\n" for i, n in enumerate(every, 1)))
    labels = "".join(f"{i} {names.index(n) + 1}\n" for i, n in enumerate(every, 1))
    (path / "image_class_labels.txt").write_text(labels)
    rows = [" ".join(map(str, examples(name)[0].tolist())) for name in names]
    file = path / "attributes" / "class_attribute_labels_continuous.txt"
    file.write_text("\n".join(rows) + "\n")
    np.save(path / "features.npy", np.concatenate([examples(name) for name in names]))


KINDS = {
    "npz": ("own.npz", write_npz),
    "table": ("own.csv", write_table),
    "folder": ("own", write_folder),
    "packed": ("own", write_packed),
    "cub": ("own", write_cub),
}


def now_in(folder) -> dict[str, list[str]]:
    """What `evaluate` would take for each part now, by the settings of the trained run."""
    _data_of.cache_clear()
    tasks = SavedRun.open(folder).settings.tasks
    return {part: list(tasks.data.grouped(part).names) for part in SPLITS}


def figures(answer: tuple[str, str]) -> tuple:
    """What `evaluate --json` has measured, and on what."""
    [result] = json.loads(answer[1])["results"]
    return result["accuracy"], result["nll"], result["protocol"]


@pytest.mark.parametrize(
    ("kind", "how"),
    [*((kind, "at random") for kind in KINDS), ("npz", "as a file says"), ("table", "on some")],
)
def test_a_class_more_moves_no_class(kind, how, well, tmp_path):
    name, write = KINDS[kind]
    data, folder = tmp_path / name, tmp_path / "run"
    write(data, TWENTY)
    options = ()
    if how == "as a file says":
        file = tmp_path / "mine.json"
        given = {"train": TWENTY[5:14], "validation": TWENTY[:3], "test": TWENTY[16:]}
        file.write_text(json.dumps(given))
        options = ("--split", file)
    elif how == "on some":
        options = ("--train-classes", 5)
    tasks = ("--tasks", f"{kind}:{data}", "--image-size", 16, *SMALL)
    well("train", "pixels", *tasks, *options, "--run", folder)
    kept = json.loads((folder / "split.json").read_text())
    assert sorted(name for names in kept.values() for name in names) == TWENTY
    assert len(kept["train"]) == {"at random": 13, "as a file says": 9, "on some": 5}[how]
    assert {part: kept[part] for part in SPLITS} == now_in(folder)
    before = figures(well("evaluate", folder, "--episodes", 20, "--json"))
    if how == "as a file says":
        file.unlink()  # the run has the names itself

    write(data, ["aa", *TWENTY[:7], "b", *TWENTY[7:]])  # others have other numbers now
    assert {part: kept[part] for part in SPLITS} == now_in(folder)
    said, after = well("evaluate", folder, "--episodes", 20, "--json")
    assert said.count("has 2 classes that the run does not know, 'aa', 'b': left out") == 1
    assert said.count("quickstudy:") == 1
    assert figures((said, after)) == before


def test_report_and_search_take_the_classes_of_the_run(well, tmp_path, monkeypatch):
    write_npz(tmp_path / "own.npz", TWENTY)
    tasks = ("--tasks", f"npz:{tmp_path / 'own.npz'}", *FEW, "--train-way", 3)
    well("train", "protonet", *tasks, "--steps", 0, "--hidden", 4, "--run", tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "split.json").read_text())
    write_npz(tmp_path / "own.npz", ["aa", *TWENTY])
    taken = []

    def noted(self, part, grouped=Own.grouped):
        taken.append((part, grouped(self, part).names))
        return grouped(self, part)

    monkeypatch.setattr(Own, "grouped", noted)
    for words in (
        ("search", tmp_path / "run", "--normalisation", "running", "--episodes", 2),
        ("report", tmp_path / "run"),
    ):
        assert "does not know, 'aa'" in well(*words)[0]
    assert {part for part, _ in taken} >= {"validation", "test"}
    assert all(names == tuple(kept[part]) for part, names in taken)


def test_a_resumed_training_goes_on_with_its_classes_bit_for_bit(well, mistake, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    write_npz(tmp_path / "own.npz", TWENTY)
    words = ("train", "protonet", "--tasks", f"npz:{tmp_path / 'own.npz'}", *SMALL)
    words += ("--train-way", 3, "--train-query", 2, "--hidden", 4, "--validation-episodes", 2)
    words += ("--steps", 6, "--checkpoint-seconds", 0, "--run")
    for folder in (whole, cut):
        well(*words, folder)
    newest = sorted((cut / "checkpoints").iterdir())[-1]
    kept = (cut / "split.json").read_bytes()
    assert kept == (whole / "split.json").read_bytes()

    for file in (newest, cut / "learner.qs"):
        file.unlink()
    write_npz(tmp_path / "own.npz", ["aa", *TWENTY])
    assert "1 class that the run does not know, 'aa'" in well(*words, cut)[0]
    assert (cut / "split.json").read_bytes() == kept
    learners = [jax.tree.leaves(SavedRun.open(folder).learner()) for folder in (whole, cut)]
    for a, b in zip(*learners, strict=True):
        np.testing.assert_array_equal(a, b)

    gone = json.loads(kept)["train"][0]
    write_npz(tmp_path / "own.npz", ["renamed", *(name for name in TWENTY if name != gone)])
    said = mistake(*words, cut)
    assert f"no longer has {gone!r}, of the train classes of the run (it has 'renamed'" in said
    (cut / "split.json").write_text("{")
    assert "split.json is damaged" in mistake(*words, cut)


def test_what_has_gone_matters_where_it_is_tested_on_alone(well, mistake, tmp_path):
    """Features are standardised as in training, whatever becomes of the training classes."""
    data, folder = tmp_path / "own.csv", tmp_path / "run"
    write_table(data, TWENTY)
    well("train", "pixels", "--tasks", f"table:{data}", *SMALL, "--run", folder)
    kept = json.loads((folder / "split.json").read_text())
    evaluate = ("evaluate", folder, "--episodes", 20, "--json")
    before = figures(well(*evaluate))
    write_table(data, [name for name in TWENTY if name not in kept["train"][:6]])
    assert figures(well(*evaluate)) == before
    assert f"no longer has {kept['train'][0]!r}" in mistake(*evaluate, "--part", "train")
    gone = kept["test"][1]
    write_table(data, [name if name != gone else "renamed" for name in TWENTY])
    said = mistake(*evaluate)
    assert f"no longer has {gone!r}, of the test classes of the run (it has 'renamed'" in said
    left = {**kept, "test": [name for name in kept["test"] if name != gone]}
    (tmp_path / "left.json").write_text(json.dumps(left))
    _, after = well(*evaluate, "--split", tmp_path / "left.json")
    assert json.loads(after)["results"][0]["protocol"]["classes"] == 3


def test_seeds_share_the_split_also_those_that_come_later(well, tmp_path):
    write_npz(tmp_path / "own.npz", TWENTY)
    words = ("train", "pixels", "--tasks", f"npz:{tmp_path / 'own.npz'}", *SMALL)
    folder = tmp_path / "several"
    well(*words, "--run", folder, "--seeds", 2)
    write_npz(tmp_path / "own.npz", ["aa", *TWENTY])
    well(*words, "--run", folder, "--seeds", 3)
    well(*words, "--run", folder, "--seed", 3, "--seeds", 1)
    well(*words, "--run", folder / "seed-4", "--seed", 4)
    assert len({(folder / f"seed-{i}" / "split.json").read_text() for i in range(5)}) == 1
    said, _ = well("evaluate", folder, "--episodes", 4)
    assert said.count("does not know, 'aa'") == 1
    well(*words, "--run", tmp_path / "other")
    assert "aa" in (tmp_path / "other" / "split.json").read_text()


def test_classes_that_were_trained_on_are_named_where_they_are_now_in(well, tmp_path):
    write_npz(tmp_path / "own.npz", TWENTY)
    write_npz(tmp_path / "copy.npz", ["new", *TWENTY])
    write_npz(tmp_path / "others.npz", [f"d{i:02}" for i in range(20)])
    train = ("train", "pixels", *SMALL, "--tasks", f"npz:{tmp_path / 'own.npz'}", "--run")
    a, b = tmp_path / "a", tmp_path / "b"
    well(*train, a)
    well(*train, b, "--split-seed", 1)
    trained, later = (json.loads((f / "split.json").read_text()) for f in (a, b))
    copy = ("evaluate", a, "--episodes", 4, "--tasks", f"npz:{tmp_path / 'copy.npz'}")
    given = {"train": ["new"], "validation": later["validation"], "test": TWENTY}
    given["validation"] = ["new"]
    (tmp_path / "all.json").write_text(json.dumps({**given, "train": ["new"]}))
    said, _ = well(*copy, "--split", tmp_path / "all.json")
    assert f"the run was trained on {len(trained['train'])} of the 20 test classes" in said
    assert "no evidence for new classes" in said
    assert "trained on" not in well(*copy, "--split", a / "split.json")[0]
    others = f"npz:{tmp_path / 'others.npz'}"
    assert "trained on" not in well("evaluate", a, "--episodes", 4, "--tasks", others)[0]

    both = set(later["train"]) & set(trained["test"])
    assert both
    said, _ = well("compare", a, b, "--episodes", 4)
    assert f"{b} was trained on {len(both)} of the 4 test classes" in said
    assert f"{a} was trained" not in said
    assert "trained on" not in well("evaluate", a, "--episodes", 4, "--part", "train")[0]


def test_a_run_that_kept_no_names_is_split_as_it_was_and_said_so(well, tmp_path):
    """By the random order of that time: `random.Random(seed).shuffle`."""
    import random

    write_npz(tmp_path / "own.npz", TWENTY)
    folder = tmp_path / "run"
    train = ("train", "pixels", "--tasks", f"npz:{tmp_path / 'own.npz'}", *SMALL)
    train += ("--split-seed", 3, "--run", folder)
    well(*train)
    order = list(range(20))
    random.Random(3).shuffle(order)

    def forget() -> None:
        (folder / "split.json").unlink()
        learner = SavedRun.open(folder).learner()
        header = checkpoint.read_header(folder / "learner.qs")
        del header["split"]
        checkpoint.save(folder / "learner.qs", learner, header)

    forget()
    said, _ = well("evaluate", folder, "--episodes", 4)
    assert "kept no names of its classes" in said
    assert "--split-seed 3" in said
    assert now_in(folder)["test"] == [TWENTY[i] for i in sorted(order[16:])]
    other = ("--tasks", f"npz:{tmp_path / 'others.npz'}")
    write_npz(tmp_path / "others.npz", TWENTY)
    assert "is not known" in well("evaluate", folder, "--episodes", 4, *other)[0]
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step-000000000.qs").write_bytes(b"of an old run")
    assert "kept no names of its classes" in well(*train)[0]
    kept = json.loads((folder / "split.json").read_text())
    assert kept["test"] == [TWENTY[i] for i in sorted(order[16:])]


def test_names_in_a_damaged_header_are_refused(well, mistake, tmp_path):
    write_npz(tmp_path / "own.npz", TWENTY)
    folder = tmp_path / "run"
    words = ("--tasks", f"npz:{tmp_path / 'own.npz'}", *SMALL)
    well("train", "pixels", *words, "--run", folder)
    learner = SavedRun.open(folder).learner()
    header = checkpoint.read_header(folder / "learner.qs")
    for classes in (["c00"], {"train": ["c00"]}, {**header["split"], "test": ["c00", 3]}, 7):
        checkpoint.save(folder / "learner.qs", learner, {**header, "split": classes})
        assert "damaged" in mistake("evaluate", folder)


def test_built_in_data_keeps_no_names(well, tmp_path):
    well("train", "pixels", "--run", tmp_path / "run")
    assert not (tmp_path / "run" / "split.json").exists()
    tasks = SavedRun.open(tmp_path / "run").settings.tasks
    assert tasks.classes is None
    assert tasks.data.class_name("test")(0) == "glyph 1100000"


@pytest.mark.parametrize("classes", range(1, 13))
def test_few_classes_are_trained_on_or_one_line_says_what_to_do(classes, run, tmp_path):
    names, folder = [f"c{i:02}" for i in range(classes)], tmp_path / "run"
    write_npz(tmp_path / "few.npz", names, each=16)
    few = ("--validation-episodes", 2, "--steps", 2 if classes in (4, 6, 12) else 0)
    tasks = ("--tasks", f"npz:{tmp_path / 'few.npz'}")
    status, said, _ = run("train", "protonet", *tasks, *few, "--run", folder)
    assert not re.search(r"\b[01]\b ways|(way|shot|query) [01]\b", said)
    if classes < 4:
        assert status == 2
        assert len(said.strip().splitlines()) == 1
        assert "add classes" in said
        return
    assert status == 0, said
    kept = json.loads((folder / "split.json").read_text())
    t = SavedRun.open(folder).settings.tasks
    assert t.way == min(len(kept["validation"]), len(kept["test"]))
    assert t.train_way == len(kept["train"])
    assert f"episodes have {t.way} classes in place of 5 (--way)" in said
    assert ("NO evidence for new classes" in said) == (classes < 6)
    status, said, _ = run("evaluate", folder, "--episodes", 2)
    assert status == 0, said
    if classes == 4:
        status, said, _ = run("evaluate", folder, "--episodes", 2, "--part", "validation")
        assert "trained on 2 of the 2 validation classes" in said


@pytest.mark.parametrize("learner", ["maml", "finetune", "siamese", "pixels"])
def test_few_classes_suit_other_learners(learner, well, tmp_path):
    write_npz(tmp_path / "few.npz", [f"c{i}" for i in range(6)])
    options = ("--query", 2, "--train-query", 2, "--steps", 0, "--run", tmp_path / "run")
    well("train", learner, "--tasks", f"npz:{tmp_path / 'few.npz'}", *options)
    saved = SavedRun.open(tmp_path / "run")
    settings, problem = saved.settings, saved.problem
    assert settings.tasks.way == problem.likelihood.size == 2


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ((*FEW, "--way", 5), r"\(validation\) has 3 classes.* needs 5: --way 3 is the most"),
        ((*FEW, "--train-way", 20), r"\(train\) has 13 .* needs 20: --train-way 13 is the"),
        ((*FEW, "--shot", 2, "--query", 3), "draws 5 of each class: --query 2 is the most with"),
        ((*FEW, "--train-shot", 1, "--shot", 4), "--shot 3 with --query 1 is the most"),
        ((*SMALL, "--train-query", 9), "--train-query 3 is the most with --train-shot 1"),
        ((*SMALL, "--train-query", 2, "--sequence", 30), "--sequence 4 is the most"),
        ((*PARTLY, "--distractors", 1, "--way", 3), "needs 4: --way 2 is the most"),
        ((*PARTLY, "--distractors", 2), "--distractors 2 are too many"),
        ((*SMALL, "--within"), "--within needs classes with names like group/class"),
    ],
)
def test_what_does_not_fit_is_said_with_the_option_that_helps(options, advice, mistake, tmp_path):
    write_npz(tmp_path / "own.npz", TWENTY)
    words = ("train", "protonet", "--tasks", f"npz:{tmp_path / 'own.npz'}")
    said = mistake(*words, *options, "--run", tmp_path / "run")
    assert re.search(advice, said), said
    assert not re.search(r"(way [01]|shot 0|query 0) ", said)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("network", ["auto", "conv4-stride", "resnet12"])
def test_pictures_that_are_too_small_for_a_network_are_named(network, mistake, well, tmp_path):
    names = np.repeat(TWENTY, 4)
    np.savez(tmp_path / "tiny.npz", x=np.zeros((80, 1, 1, 1), np.uint8), y=names)
    words = ("train", "protonet", "--tasks", f"npz:{tmp_path / 'tiny.npz'}", *FEW)
    said = mistake(*words, "--network", network, "--run", tmp_path / "run")
    assert "16 × 16 pixels or more; these are 1 × 1: take --network mlp" in said
    assert not (tmp_path / "run").exists()
    well(*words, "--network", "mlp", "--steps", 0, "--run", tmp_path / "run")


def test_few_glyphs_and_few_classes_of_a_group_name_the_option(mistake, tmp_path):
    words = ("train", "protonet", "--run", tmp_path / "run")
    assert "--train-way 7 is the most" in mistake(*words, "--train-classes", 7)
    write_npz(tmp_path / "own.npz", [f"g{i % 5}/{name}" for i, name in enumerate(TWENTY)])
    own = ("--tasks", f"npz:{tmp_path / 'own.npz'}", *SMALL, "--train-query", 2, "--within")
    assert "ask for fewer with --train-way" in mistake(*words, *own)


def test_queries_are_those_that_the_smallest_class_has(tmp_path, well, mistake):
    write_npz(tmp_path / "a.npz", TWENTY)  # of four examples each
    train = ("train", "pixels", "--tasks", f"npz:{tmp_path / 'a.npz'}")
    said, _ = well(*train, "--run", tmp_path / "a")
    assert "the smallest class of npz:" in said
    assert "has 4 examples: episodes ask 3 of each class in place of 15 (--query)" in said
    saved = SavedRun.open(tmp_path / "a").settings.tasks
    assert (saved.query, saved.train_query) == (3, 3)
    said, _ = well(*train, "--query", 2, "--run", tmp_path / "b")
    assert "in place of 15" not in said
    most = mistake(*train, "--query", 4, "--run", tmp_path / "c")
    assert "--query 3 is the most with --shot 1" in most or "--train-query 3 is the most" in most
    assert "--train-shot 3 with --train-query 1" in mistake(*train, "--shot", 4, "--run", "d")


def test_small_classes_are_left_out_where_this_is_asked_for(tmp_path, well, mistake):
    counts = {name: 2 if name in ("c03", "c11") else 8 for name in TWENTY}
    x = np.concatenate([examples(name, count) for name, count in counts.items()])
    np.savez(tmp_path / "a.npz", x=x.astype(np.float32), y=np.repeat(TWENTY, [*counts.values()]))
    train = ("train", "pixels", "--tasks", f"npz:{tmp_path / 'a.npz'}", "--skip-small-classes")
    said, _ = well(*train, "--query", 5, "--run", tmp_path / "a")
    assert "2 classes of 20 left out for having fewer than 6 examples" in said
    assert "'c03' (2), 'c11' (2)" in said
    split = json.loads((tmp_path / "a" / "split.json").read_text())
    assert split["unused"] == ["c03", "c11"]
    said, _ = well(*train, "--query", 5, "--run", tmp_path / "a")  # goes on with these classes
    well("evaluate", tmp_path / "a", "--episodes", 4)
    assert "0 of 20 classes have the 16 examples" in mistake(*train, "--run", tmp_path / "b")
    parts = {"train": TWENTY[:4], "validation": TWENTY[4:6], "test": TWENTY[10:12]}
    (tmp_path / "split.json").write_text(json.dumps(parts))
    given = ("--split", tmp_path / "split.json", "--query", 5, "--run", tmp_path / "c")
    assert "has class 'c10' alone under test" in mistake(*train, *given)


def test_pictures_of_few_classes_are_distorted_in_training_alone(tmp_path):
    """By default, unless it is said otherwise; and a run that goes on keeps what it began with."""
    write_folder(tmp_path / "pictures", TWENTY)
    write_npz(tmp_path / "features.npz", TWENTY)
    began = tmp_path / "began"
    began.mkdir()
    (began / "config.json").write_text(json.dumps({"tasks": {"distort": False}}))

    def chosen(data: str, folder=tmp_path, learner=None, **options):
        tasks = TaskSettings(data, query=1, train_query=1, image_size=16, **options)
        return prepared(RunSettings(learner or ProtoNetSettings(), tasks), [folder])

    pictures = f"folder:{tmp_path / 'pictures'}"
    ready = chosen(pictures)
    tasks = ready.settings.tasks
    assert tasks.distort is True
    assert any("sheared, scaled and moved" in line for line in training(ready, None).notes)
    for part, distorted in (("train", True), ("validation", False), ("test", False)):
        drawn = tasks.data.source_for(part, 2, training=part == "train").protocol()
        assert ("distortions" in drawn) == distorted
    for other in (
        chosen(pictures, distort=False),
        chosen(pictures, began),  # as of a run before this default
        chosen(pictures, learner=PixelsSettings()),
        chosen(f"npz:{tmp_path / 'features.npz'}"),
        chosen("glyphs"),
        chosen("sinusoid"),
    ):
        assert other.settings.tasks.distort is False
        assert other.settings.to_json()["tasks"]["distort"] is False


def test_a_split_with_one_class_in_a_part_is_refused_at_once(tmp_path, mistake):
    write_npz(tmp_path / "a.npz", TWENTY)
    parts = {"train": TWENTY[:4], "validation": TWENTY[4:6], "test": TWENTY[7:8]}
    (tmp_path / "split.json").write_text(json.dumps(parts))
    words = ("--tasks", f"npz:{tmp_path / 'a.npz'}", "--split", tmp_path / "split.json")
    said = mistake("train", "pixels", *words, "--run", tmp_path / "run")
    assert "split.json has class 'c07' alone under test, and an episode needs 2 at least" in said
    assert not (tmp_path / "run" / "config.json").exists()


def test_the_start_of_a_training_shows_the_data(tmp_path, well):
    write_npz(tmp_path / "a.npz", TWENTY)
    words = ("--tasks", f"npz:{tmp_path / 'a.npz'}", "--run", tmp_path / "run")
    said, _ = well("train", "pixels", *words)
    assert f"inputs of {FEATURES}\n" in said
    assert "to train on: 13 classes, 52 examples, 4 in each" in said
    assert "to test on: 4 classes, 16 examples, 4 in each" in said
