"""Gives the enums of `_names.pxd` to Python; see `names.py`."""
