"""The loss half of a task T = (D, L): how well predictions explain targets.

`likelihood.py` says what a likelihood is; `classes.py` and `real_targets.py` have ours.
"""

from quickstudy.likelihood.classes import LETTERS as LETTERS
from quickstudy.likelihood.classes import Categorical as Categorical
from quickstudy.likelihood.classes import Letters as Letters
from quickstudy.likelihood.classes import absent_last as absent_last
from quickstudy.likelihood.classes import entropy as entropy
from quickstudy.likelihood.likelihood import CALIBRATION_BINS as CALIBRATION_BINS
from quickstudy.likelihood.likelihood import Likelihood as Likelihood
from quickstudy.likelihood.real_targets import Gaussian as Gaussian
from quickstudy.likelihood.real_targets import HeteroscedasticGaussian as HeteroscedasticGaussian
from quickstudy.likelihood.real_targets import LogScaleGaussian as LogScaleGaussian
from quickstudy.likelihood.real_targets import MeanAndScale as MeanAndScale
from quickstudy.likelihood.real_targets import RealTargets as RealTargets
from quickstudy.likelihood.real_targets import complete as complete
from quickstudy.likelihood.real_targets import with_log_scale as with_log_scale
