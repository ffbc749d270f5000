"""A mistake of the user's: one clear line, status 2, nothing overwritten."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quickstudy import memory
from quickstudy.cli import main
from quickstudy.datasets import packed
from quickstudy.report import collect


@pytest.fixture
def mistake(capsys):
    """Run a command that must fail, and give the one line that it says."""

    def run(*words: str) -> str:
        assert main([str(word) for word in words]) == 2
        captured = capsys.readouterr()
        lines = captured.err.strip().splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("quickstudy: ")
        assert "Traceback" not in captured.err
        return lines[0]

    return run


@pytest.fixture
def pictures(tmp_path):
    """Six classes of eight small pictures."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    for c in range(6):
        (folder / f"class{c}").mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 255, (20, 20), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class{c}" / f"{i}.png")
    return folder


def test_an_unknown_command_learner_task_and_recipe_name_the_nearest(mistake, tmp_path):
    assert "did you mean train" in mistake("trian")
    assert "did you mean protonet" in mistake("train", "protonte", "--run", tmp_path / "a")
    train = ("train", "protonet", "--run", tmp_path / "a", "--tasks")
    assert "did you mean omniglot" in mistake(*train, "omnigot")
    assert "did you mean protonet-omniglot" in mistake("reproduce", "protonet-omnigot")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--way", "0"),
        ("--way", "1"),
        ("--shot", "-3"),
        ("--shot", "0"),
        ("--query", "0"),
        ("--train-way", "1"),
        ("--steps", "-1"),
        ("--meta-batch", "0"),
        ("--learning-rate", "0"),
        ("--image-size", "3"),
        ("--labelled", "0.0"),
        ("--labelled", "1.2"),
        ("--distractors", "-1"),
        ("--seeds", "0"),
        ("--learning-rate", "inf"),
        ("--learning-rate", "nan"),
        ("--steps", "99999999999999999999"),
        ("--seed", "2147483648"),
        ("--seed", "-1"),
        ("--hidden", "-3"),
        ("--hidden", "0"),
        ("--filters", "-3"),
    ],
)
def test_numbers_out_of_range_are_named_with_their_flag(mistake, tmp_path, flag, value):
    said = mistake("train", "protonet", "--run", tmp_path / "a", flag, value)
    assert f"{flag} {value}" in said
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tasks", "mnist"), "--tasks mnist is there to test on"),
        (("--tasks", "lake-runs"), "--tasks lake-runs is there to test on"),
        (("--within",), "--within needs classes with names like group/class"),
        (("--within", "--fixed-labels"), "--fixed-labels does not go with --within"),
        (("--verify",), "--verify is for learners that compare"),
        (("--tasks", "glyphs:x"), "--tasks glyphs:x: nothing comes after glyphs"),
        (("--tasks", "npz:"), "it does not say where your data is: npz:PATH"),
        (("--meta-optimizer", "chain"), "Optax has no optimiser 'chain' of a learning rate"),
        (("--meta-optimizer", "sm3"), "Optax's sm3 takes no learning rate that changes"),
        (("--network", "koch"), "--network koch needs pictures of 65 × 65"),
    ],
)
def test_options_that_do_not_suit_are_named(mistake, tmp_path, words, said):
    assert said in mistake("train", "protonet", "--run", tmp_path / "a", *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tasks", "sinusoid"), "--measure entropy is for classes"),
        (("--tasks", "gaussian-processes", "--measure", "theil"), "compares squared errors"),
        (("--measure", "thiel"), "did you mean theil"),
    ],
)
def test_a_measure_that_tasks_do_not_have_is_named(mistake, tmp_path, words, said):
    assert said in mistake("train", "taml", "--run", tmp_path / "a", *words)
    assert not (tmp_path / "a").exists()


def test_a_class_with_too_few_examples_is_named(mistake, pictures, tmp_path):
    for i in range(2, 8):
        (pictures / "class3" / f"{i}.png").unlink()
    split = tmp_path / "split.json"
    split.write_text(
        json.dumps(
            {
                "train": ["class0", "class3"],
                "validation": ["class1", "class2"],
                "test": ["class4", "class5"],
            }
        )
    )
    words = ("--tasks", f"folder:{pictures}", "--split", split, "--way", "2", "--query", "3")
    options = ("--train-way", "2", "--train-query", "2")
    assert "'class3' has 2" in mistake(
        "train", "protonet", "--run", tmp_path / "a", *words, *options
    )


def test_fewer_classes_than_ways(mistake, pictures, tmp_path):
    words = ("--tasks", f"folder:{pictures}", "--query", "2", "--way", "5")
    said = mistake("train", "protonet", "--run", tmp_path / "a", *words)
    assert "needs" in said
    assert "classes" in said


def test_a_truncated_image_is_named(mistake, pictures, tmp_path):
    damaged = pictures / "class2" / "5.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    said = mistake("train", "protonet", "--run", tmp_path / "a", "--tasks", f"folder:{pictures}")
    assert str(damaged) in said


def test_a_table_without_the_label_column(mistake, tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text("width,height,kind\n1,2,a\n3,4,b\n")
    words = ("train", "protonet", "--run", tmp_path / "a", "--tasks", f"table:{table}")
    assert "label" in mistake(*words)
    assert "kind" in mistake(*words)


def test_commands_on_what_is_no_run(mistake, tmp_path):
    for command in ("evaluate", "report"):
        assert "is not a run" in mistake(command, tmp_path / "nothing")
    support = ("--support", tmp_path, "--out", tmp_path / "x.qs")
    assert "is not a run" in mistake("adapt", tmp_path / "nothing", *support)
    assert "no file" in mistake("predict", tmp_path / "nothing.qs", tmp_path / "a.png")
    assert "two different runs" in mistake("compare", tmp_path / "a", tmp_path / "a")


def test_a_run_of_another_configuration_is_left_alone(mistake, tmp_path):
    run = tmp_path / "a"
    assert main(["train", "pixels", "--run", str(run)]) == 0
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    said = mistake("train", "pixels", "--run", run, "--seed", "7")
    assert "belongs to another configuration (--seed 0 there, --seed 7 now): choose" in said
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


def test_a_folder_of_something_else_is_left_alone(mistake, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "home.txt").write_text("dear all")
    said = mistake("train", "pixels", "--run", tmp_path / "letters")
    assert "is not a run of quickstudy" in said
    assert [p.name for p in (tmp_path / "letters").iterdir()] == ["home.txt"]


def test_seeds_beyond_the_largest_are_refused_before_any_is_trained(mistake, tmp_path):
    words = ("train", "pixels", "--run", tmp_path / "a", "--seed", "2147483646", "--seeds", "3")
    assert "--seed 2147483648: it must be at most 2147483647" in mistake(*words)
    assert not (tmp_path / "a").exists()


def test_several_seeds_and_one_are_not_mixed_up(mistake, tmp_path):
    one, several = tmp_path / "one", tmp_path / "several"
    assert main(["train", "pixels", "--run", str(one)]) == 0
    assert "is a run of one seed" in mistake("train", "pixels", "--run", one, "--seeds", "2")
    assert main(["train", "pixels", "--run", str(several), "--seeds", "2"]) == 0
    assert "is not a run" in mistake("train", "pixels", "--run", several)
    named = f"holds 2 seeds: name one of them, say {several}/seed-0"
    assert named in mistake("adapt", several, "--support", tmp_path, "--out", tmp_path / "x.qs")
    words = ("train", "pixels", "--run", several, "--seeds", "2")
    differ = "(--train-way 5 there, --train-way 7 now; --way 5 there, --way 7 now)"
    assert f"belongs to another configuration {differ}" in mistake(*words, "--way", "7")
    words = ["train", "pixels", "--run", str(several), "--seed", "2", "--seeds", "1"]
    assert main([*words, "--way", "7"]) == 0
    assert "differs from" in mistake("evaluate", several)
    (several / "seed-2" / "learner.qs").unlink()
    assert f"{several}/seed-2 is not finished" in mistake("evaluate", several)


def test_a_learner_with_a_fixed_head_says_so(mistake, tmp_path):
    run = tmp_path / "maml"
    words = ["train", "maml", "--run", str(run), "--steps", "0", "--filters", "4"]
    assert main([*words, "--image-size", "16"]) == 0
    said = mistake("evaluate", run, "--way", "7", "--episodes", "2")
    assert "5 outputs" in said
    assert "7" in said


@pytest.fixture
def features(tmp_path):
    """Twelve classes of ten vectors."""
    x = np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
    np.savez(tmp_path / "features.npz", x=x, y=np.repeat(np.arange(12), 10))
    return ("--tasks", f"npz:{tmp_path / 'features.npz'}", "--query", "2", "--train-query", "2")


@pytest.mark.parametrize("learner", ["maml", "reptile", "gnn", "mann", "cnp"])
def test_training_tasks_that_the_learner_does_not_take(mistake, features, tmp_path, learner):
    """It is told before the first step, and also where there is none."""
    words = ("train", learner, *features, "--way", "2", "--train-way", "3", "--steps", "0")
    said = mistake(*words, "--run", tmp_path / "a")
    assert f"{learner} does not take its training tasks (--train-way 3" in said
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tadam", "--tasks", "synthetic-tables", "--shot", "4"), "are not cut out of classes"),
        (("multi-task", "--tasks", "synthetic-tables", "--shot", "4"), "a task and its examples"),
        (("multi-task", "--tasks", "gaussian-processes"), "a task and its examples at once"),
        (("tadam", "--network", "mlp"), "conditions the normalised layers of its network"),
        (("tapnet", "--train-way", "30", "--references", "20"), "up to 20 classes, not 30"),
    ],
)
def test_learners_that_do_not_go_with_tasks_or_networks(mistake, tmp_path, words, said):
    assert said in mistake("train", *words, "--run", tmp_path / "a", "--steps", "0")
    assert not (tmp_path / "a").exists()


def test_statistics_that_a_learner_does_not_keep(mistake, tmp_path):
    run = tmp_path / "maml"
    words = ["train", "maml", "--tasks", "sinusoid", "--steps", "0", "--run", str(run)]
    assert main(words) == 0
    said = mistake("evaluate", run, "--normalisation", "running")
    assert "normalisation is batch or support" in said


def test_an_option_that_the_learner_lacks(mistake, tmp_path):
    run = tmp_path / "pixels"
    assert main(["train", "pixels", "--run", str(run)]) == 0
    assert "has no --test-steps" in mistake("evaluate", run, "--test-steps", "3")


def test_a_damaged_learner_file(mistake, tmp_path):
    run = tmp_path / "pixels"
    assert main(["train", "pixels", "--run", str(run)]) == 0
    (run / "learner.qs").write_bytes(b"not an archive")
    assert "damaged" in mistake("evaluate", run)


def test_a_learner_file_of_ones_own_that_defines_none(mistake, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("x = 1\n")
    assert "defines 0" in mistake("train", mine, "--run", tmp_path / "a")
    assert "no file" in mistake("train", tmp_path / "absent.py", "--run", tmp_path / "a")


def test_sizes_beyond_memory_are_named(mistake, tmp_path, monkeypatch):
    run, words = tmp_path / "a", ("train", "maml", "--tasks", "sinusoid", "--shot", "3", "--run")
    assert "take smaller numbers for --hidden" in mistake(*words, run, "--hidden", 10**8, 10**9)
    assert main([*map(str, words), str(run), "--steps", "0"]) == 0
    evaluate = ("evaluate", run, "--episodes", "2")
    query = ("--query", 2 * 10**9)
    monkeypatch.setattr(memory, "available", lambda: 8 << 30)
    assert "--way, --shot and --query (at least 16.0 GB" in mistake(*evaluate, *query)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x = 1\ndef f(:\n", "mine.py, line 2: SyntaxError: invalid syntax"),
        (b"def f():\n    return 1 / 0\n\nf()\n", "mine.py, line 2: ZeroDivisionError: division"),
        (b"\nimport no_such_module\n", "mine.py, line 2: ModuleNotFoundError: No module named"),
        (b"import json\n\njson.loads('{')\n", "mine.py, line 3: JSONDecodeError: Expecting"),
        (b"import sys\nsys.exit(3)\n", "mine.py, line 2: SystemExit: 3"),
        (b"x = '\xff'\n", "mine.py, line 1: SyntaxError: (unicode error)"),
        (b"x = 1\0\n", "mine.py: SyntaxError: source code string cannot contain null bytes"),
    ],
    ids=["syntax", "division", "import", "elsewhere", "exit", "encoding", "null"],
)
def test_a_file_of_ones_own_that_does_not_run(mistake, tmp_path, content, said):
    mine = tmp_path / "mine.py"
    mine.write_bytes(content)
    train = ("--run", tmp_path / "a")
    assert said in mistake("train", mine, *train)
    assert said in mistake("train", "lstm-optimizer", "--tasks", mine, *train)
    assert not (tmp_path / "a").exists()


def test_pictures_that_cannot_be_packed_or_were_not(mistake, pictures, tmp_path):
    out = tmp_path / "packed"
    assert "--out" in mistake("data", f"folder:{pictures}")
    assert "--out" in mistake("data", "omniglot", "--out", out)
    assert "did you mean omniglot" in mistake("data", "omnigot")
    assert "no folder" in mistake("data", f"folder:{tmp_path / 'absent'}", "--out", out)
    assert "not empty" in mistake("data", f"folder:{pictures}", "--out", pictures)
    assert "--image-size 3" in mistake(
        "data", f"folder:{pictures}", "--out", out, "--image-size", "3"
    )
    train = ("train", "protonet", "--run", tmp_path / "a", "--tasks")
    assert "no folder" in mistake(*train, f"packed:{out}")
    assert "not a packed data set" in mistake(*train, f"packed:{pictures}")
    assert not (tmp_path / "a").exists()


def test_rotations_of_pictures_that_are_not_square(mistake, tmp_path):
    packed.write(
        tmp_path / "oblong",
        np.zeros((60, 20, 16, 1), np.uint8),
        {f"class{c}": 10 for c in range(6)},
        (20, 16, 1),
    )
    words = ("--tasks", f"packed:{tmp_path / 'oblong'}", "--rotations", "classes")
    assert "square" in mistake("train", "protonet", "--run", tmp_path / "a", *words)


def test_processes_and_devices_that_cannot_be(mistake, tmp_path):
    train = ("train", "pixels", "--run", tmp_path / "a")
    for words in (("--process-count", "2"), ("--process-index", "0")):
        said = mistake(*train, *words)
        assert "--process-count and --process-index are for processes that meet" in said
        assert "--coordinator HOST:PORT" in said
    assert "--process-count 0: it must be at least 1" in mistake(*train, "--process-count", "0")
    for command in (train, ("reproduce", "protonet-omniglot")):
        assert "--devices 0: it must be at least 1" in mistake(*command, "--devices", "0")
    assert not (tmp_path / "a").exists()


def test_nothing_of_others_is_replaced_by_what_a_command_writes(mistake, tmp_path, monkeypatch):
    """And it is told before the work is done."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", "pixels", "--run", "a"]) == 0
    for name in ("letter.html", "letter.png", "letter.md"):
        (tmp_path / name).write_text("dear all")
    results = tmp_path / "results"
    results.mkdir()
    (results / "protonet-omniglot-cpu.json").write_text("{}")
    (results / "feature-reuse-cpu.json").write_text("{}")
    no_file = "it is not a file that can be replaced"
    monkeypatch.setattr(collect, "collect", lambda *_: pytest.fail("the work was done"))
    assert no_file in mistake("report", "a", "--out", "/dev/full")
    assert no_file in mistake("optimize", "a", "--picture", "/dev/null")
    assert no_file in mistake("tables", "--results", results, "--out", "/dev/null")
    assert "/dev/null exists and" in mistake("adapt", "a", "--support", "b", "--out", "/dev/null")
    assert "takes no files" in mistake("optimize", "a", "--picture", "letter.md/x.png")
    said = "letter.html exists and is not a report of quickstudy: choose another --out"
    assert said in mistake("report", "a", "--out", "letter.html")
    assert "not a picture of quickstudy" in mistake("optimize", "a", "--picture", "letter.png")
    assert "not a picture of quickstudy" in mistake(
        "study", "feature-reuse", "--picture", "letter.png"
    )
    of_ours = "is not a result of quickstudy: choose another --results folder"
    assert of_ours in mistake("reproduce", "protonet-omniglot", "--results", results)
    assert of_ours in mistake("study", "feature-reuse", "--results", results)
    (results / "protonet-omniglot-cpu.json").unlink()
    (results / "feature-reuse-cpu.json").unlink()
    source = Path(__file__).parents[2] / "results" / "protonet-omniglot-cpu.json"
    (results / source.name).write_bytes(source.read_bytes())
    page = ("tables", "--results", results, "--out")
    assert "letter.md exists and is not a page of quickstudy" in mistake(*page, "letter.md")
    for _ in range(2):
        assert main([str(word) for word in (*page, "page.md")]) == 0
    assert {p.read_text() for p in tmp_path.glob("letter.*")} == {"dear all"}


def test_a_report_on_a_run_that_is_read_only_says_where_else_it_may_go(
    mistake, tmp_path, monkeypatch
):
    run = tmp_path / "a"
    assert main(["train", "pixels", "--run", str(run)]) == 0
    access = os.access
    monkeypatch.setattr(collect, "collect", lambda *_: pytest.fail("the work was done"))
    monkeypatch.setattr(os, "access", lambda path, mode: path != run and access(path, mode))
    said = mistake("report", run)
    assert f"cannot write {run}/report.html: {run} takes no files; choose another --out" in said


def test_a_damaged_configuration_or_search(mistake, tmp_path):
    run = tmp_path / "a"
    assert main(["train", "pixels", "--run", str(run)]) == 0
    (run / "search.json").write_text("[" * 100_000)
    assert "search.json is damaged: take it away" in mistake("evaluate", run, "--searched")
    for content in ("[]", "null", "[" * 100_000, "3"):
        (run / "config.json").write_text(content)
        assert "config.json is damaged: choose another --run" in mistake(
            "train", "pixels", "--run", run
        )
        assert "config.json is damaged" in mistake("search", run, "--help")


def test_json_has_the_digits_that_mean_something(tmp_path, capsys):
    run = tmp_path / "a"
    words = ["--tasks", "sinusoid", "--steps", "0", "--hidden", "4", "--run", str(run)]
    assert main(["train", "maml", *words]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), "--episodes", "3", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    for figure in (result["mse"]["mean"], result["mse"]["interval_95"], result["nll"]["mean"]):
        assert figure == float(f"{figure:.6g}") != 0


def test_runs_that_did_not_meet_the_same_tasks_are_not_compared(tmp_path, monkeypatch, capsys):
    import dataclasses

    from quickstudy.runs import measure as measuring

    a, b = tmp_path / "a", tmp_path / "b"
    for run in (a, b):
        assert main(["train", "pixels", "--run", str(run)]) == 0
    measured, count = measuring.measure_seeds, iter(range(2))

    def of_other_tasks(*words, **options):
        result, each = measured(*words, **options)
        other = dataclasses.replace(result.tasks, fingerprint=str(next(count)))
        return dataclasses.replace(result, tasks=other), each

    monkeypatch.setattr(measuring, "measure_seeds", of_other_tasks)
    assert main(["compare", str(a), str(b), "--episodes", "2"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{a} and {b} cannot be compared: not the same tasks" in said
