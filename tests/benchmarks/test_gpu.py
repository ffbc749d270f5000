"""The script for a GPU, tried where there is none."""

import jax
import pytest

from benchmarks import gpu, machine, startup, suite
from benchmarks.cases import MAMLStep
from benchmarks.gpu import Options, cases, run
from benchmarks.startup import Start
from quickstudy.errors import UserError

TINY = MAMLStep("mlp 2x40", way=1, shot=2, query=2, tasks=2, arithmetic="bfloat16")


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """One tiny case, and nothing that takes long."""
    monkeypatch.setattr(gpu, "tiny_cases", lambda: [TINY])
    monkeypatch.setattr(gpu, "memory", lambda *_: {"bytes": 1})
    monkeypatch.setattr(startup, "start", lambda *_: Start(1.0, 0.5, 2.0))
    monkeypatch.setattr(suite, "load_peers", lambda: ({}, {"pytorch": "not here"}))
    monkeypatch.setattr(machine, "size", lambda: 64)
    monkeypatch.setattr(machine, "copied", lambda: 1 << 16)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    jax.config.update("jax_enable_compilation_cache", True)


def test_a_smoke_run_goes_through_everything_and_writes_nothing(quick, capsys):
    assert run(Options(smoke=True)) == 0
    said = capsys.readouterr().out
    assert "bfloat16" in said
    assert '"no time for": []' in said
    assert '"first_step": 1.0' in said
    assert list(quick.iterdir()) == []


def test_nothing_is_begun_after_the_time_is_up(quick, capsys):
    assert run(Options(smoke=True, minutes=0)) == 0
    said = capsys.readouterr().out
    assert TINY.name in said.split('"no time for"')[1]
    assert "first_step" not in said


def test_without_a_gpu_it_says_what_to_do():
    if machine.on_gpu():
        pytest.skip("there is one")
    with pytest.raises(UserError, match="no GPU"):
        run(Options())


def test_what_matters_most_comes_first_and_all_of_it_comes():
    chosen = list(cases())
    assert len({case.name for case in chosen}) == len(chosen)
    assert chosen[0] == MAMLStep("conv4 stride 2", tasks=32, arithmetic="tensorfloat32")
    mamls = {
        (x.network, x.first_order, x.inner_steps)
        for x in chosen
        if isinstance(x, MAMLStep) and x.tasks == 32
    }
    assert len(mamls) == 8
    assert {x.arithmetic for x in chosen} == {"float32", "tensorfloat32", "bfloat16"}
