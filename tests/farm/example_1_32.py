"""The documentation's example 1.32 as it stands, where everything is that it names: to be run in a
network and a /dev/shm of its own, by test_example_1_32.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.farm.test_mariadb import TABLES, VERSION
from tests.support import mariadb
from tests.support.farm import COMMAND
from tests.support.sipp import Callee, Calls
from tests.support.wait import until

SCRIPT = Path(__file__).parents[1] / "data" / "opensips" / "example_1_32.cfg"
CALLS = 60


def main(folder: Path) -> None:
    log = folder / "farm.log"
    with (
        mariadb.server("127.0.0.1", 3306, "opensipsrw") as database,
        Callee(folder, "one") as one,
        Callee(folder, "two") as two,
    ):
        rows = ", ".join(f"(2, '{each.uri}')" for each in (one, two))
        database.execute(
            VERSION,
            "INSERT INTO version VALUES ('dispatcher', 9)",
            TABLES[9],
            f"INSERT INTO dispatcher (setid, destination) VALUES {rows}",
        )
        with log.open("wb") as file:
            farm = subprocess.Popen(
                [COMMAND, "run", "-f", SCRIPT], stdout=file, stderr=file, stdin=subprocess.DEVNULL
            )
        try:
            until(lambda: "ready: 2 workers" in log.read_text(), "the farm", 20.0)
            with Calls(folder, "call_uac.xml", ("127.0.0.1", 5060), CALLS, 100) as caller:
                result = caller.wait()
            assert (result.successful, result.failed) == (CALLS, 0), caller.report()
            reached = [each.stop().successful for each in (one, two)]
            assert sum(reached) == CALLS
            # A hash over the Call-ID: each has its share, and a call stays where it began.
            assert min(reached) > CALLS // 5
        except BaseException:
            print(log.read_text())
            raise
        finally:
            farm.terminate()
            assert farm.wait(20.0) == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
