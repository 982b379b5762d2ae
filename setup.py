"""The list of compiled modules; all else about the package is in pyproject.toml.

They are not optional: a farm without them would be installed silently slow, so a failing
compiler fails the install.  ``DS_FARM_TRACE=1`` builds for line tracing and coverage.
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

TRACE = os.environ.get("DS_FARM_TRACE") == "1"

# Pure-Python mode (.py with a .pxd): bytes in, numbers out.  Plain Cython (.pyx): the system.
MODULES = [
    "shm/_native.pyx",
    "ds_farm/sip/_names.pyx",
    "ds_farm/sip/_text.py",
    "ds_farm/sip/_scan.py",
    "ds_farm/sip/_via.py",
    "ds_farm/sip/_uri.py",
    "ds_farm/sip/_auth.py",
    "ds_farm/sip/_branch.py",
    "ds_farm/sip/_edit.pyx",
    "ds_farm/proxy/_wire.pyx",
    "ds_farm/proxy/_notice.pyx",
    "ds_farm/proxy/_route.pyx",
    "ds_farm/proxy/_exchange.pyx",
    "ds_farm/proxy/_forward.pyx",
    "ds_farm/proxy/_derived.pyx",
    "ds_farm/proxy/_timers.pyx",
    "ds_farm/proxy/_pool.pyx",
    "ds_farm/proxy/_transaction.pyx",
    "ds_farm/proxy/_reply.pyx",
    "ds_farm/proxy/_request.pyx",
    "ds_farm/proxy/_message.pyx",
    "ds_farm/proxy/_dialog.pyx",
    "ds_farm/proxy/_handover.pyx",
    "ds_farm/proxy/_sender.pyx",
    "ds_farm/proxy/_relay.pyx",
    "ds_farm/proxy/_relay_request.pyx",
    "ds_farm/proxy/_tm.pyx",
    "ds_farm/proxy/_core.pyx",
    "ds_farm/script/_plan.pyx",
    "ds_farm/script/_keys.pyx",
    "ds_farm/script/_selector.pyx",
    "ds_farm/script/_failover.pyx",
    "ds_farm/script/_request.pyx",
    "workers/_sending.pyx",
    "workers/_udp.pyx",
    "ds_farm/dispatch/_hash.py",
    "ds_farm/dispatch/_select.py",
    "ds_farm/dispatch/_live.pyx",
]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "auto_pickle": False,  # nothing of the core is ever copied to another process
    "embedsignature": True,
    "freethreading_compatible": False,
    "linetrace": TRACE,
}

# More than one compiler at a time, and Cython likewise.
JOBS = len(os.sched_getaffinity(0))

setup(
    options={"build_ext": {"parallel": JOBS}},
    ext_modules=cythonize(
        [
            Extension(
                path.rsplit(".", 1)[0].replace("/", "."),
                [path],
                extra_compile_args=["-O2" if not TRACE else "-O0", "-std=gnu11"],
                define_macros=[("CYTHON_TRACE", "1")] if TRACE else [],
            )
            for path in MODULES
        ],
        compiler_directives=DIRECTIVES,
        nthreads=JOBS,
    ),
)
