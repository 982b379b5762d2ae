"""ds_farm: a SIP dispatcher that is a farm of processes on one Linux host."""

__version__ = "0.1.0"
