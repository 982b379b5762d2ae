"""The configuration file: models of every key, loading, and what is wrong with a file.

`load` is the entrance.  Nothing here reads the environment, a database or the network.
"""

from ds_farm.config.dispatcher import DispatcherConfig
from ds_farm.config.load import ConfigProblems, Problem, load, problem_at
from ds_farm.config.models import (
    Config,
    DnsConfig,
    FarmConfig,
    LogConfig,
    MetricsConfig,
    MiConfig,
    RouteConfig,
)
from ds_farm.config.module import keep_module, read_module
from ds_farm.config.partitions import PartitionConfig, resolve

__all__ = [
    "Config",
    "ConfigProblems",
    "DispatcherConfig",
    "DnsConfig",
    "FarmConfig",
    "LogConfig",
    "MetricsConfig",
    "MiConfig",
    "PartitionConfig",
    "Problem",
    "RouteConfig",
    "keep_module",
    "load",
    "problem_at",
    "read_module",
    "resolve",
]
