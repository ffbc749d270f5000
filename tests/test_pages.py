"""The site builds without a warning, its reference is complete, and networks of other libraries are
used as their page tells.
"""

import re
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import quickstudy
from quickstudy.likelihood import Categorical
from quickstudy.settings.registry import learner_settings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Examples
from tests.test_documents import AS_USERS_HAVE_IT, ROOT, blocks, said_by

KEY = jax.random.key(0)
OWN_NETWORKS = ROOT / "docs/own-networks.md"


def test_the_site_builds_without_a_warning():
    pytest.importorskip("zensical")
    programs = Path(sys.executable).parent
    done = subprocess.run(
        ["make", "site", f"BIN={programs}", "--assume-old=.venv/.with-docs"],
        cwd=ROOT,
        env=AS_USERS_HAVE_IT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    page = (ROOT / "build/site/docs/api/networks/index.html").read_text()
    assert 'id="quickstudy.networks.adapters.Plain"' in page
    assert '<span class="gp">&gt;&gt;&gt; </span>' in page  # an example is code, and no quotation


def test_every_public_name_is_in_the_reference():
    page = (ROOT / "docs/api/README.md").read_text()
    assert [name for name in quickstudy.__all__ if f"`{name}`" not in page] == []


@pytest.mark.parametrize("library", ["equinox", "flax"])
def test_networks_of_ones_own_as_their_page_tells(library, tmp_path):
    pytest.importorskip(library)
    use = blocks(OWN_NETWORKS, "python")[["equinox", "flax"].index(library)]
    said = re.findall(r": (\d+\.\d+) before training, (\d+\.\d+) after", said_by(use, tmp_path))
    assert len(said) >= 2
    for before, after in said:
        assert float(after) < 0.9 * float(before)


def test_a_learner_with_a_network_of_ones_own_is_built_from_the_file_of_their_page(tmp_path):
    file = tmp_path / "own_protonet.py"
    file.write_text(blocks(OWN_NETWORKS, "python")[2])
    spec = TaskSpec((28, 30, 1), Categorical(5), 20)
    learner = learner_settings(str(file))().build(spec, KEY)
    x = jnp.zeros((5, 28, 30, 1))
    adapt = lambda: learner.adapt(Examples(x, jnp.arange(5)), Categorical(5), key=KEY)(x)  # noqa: E731
    assert eqx.filter_eval_shape(adapt).shape == (5, 5)
