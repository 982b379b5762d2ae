"""OpenSIPS's script language: an ``opensips.cfg`` becomes a configuration and a routing module.

`translate` is the way in; README.md says how the parts follow each other.
"""

from ds_farm.cfg.errors import ScriptProblem, ScriptProblems
from ds_farm.cfg.translate import Translation, translate

__all__ = ["ScriptProblem", "ScriptProblems", "Translation", "translate"]
