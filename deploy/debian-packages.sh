#!/bin/sh
# Installs what is missing of the Debian packages that ds_farm's targets call, by group:
#
#   deploy/debian-packages.sh GROUP...     groups: venv (build and install), test, bench, database
#
# A package counts as present when the thing it is wanted for works, wherever it came from.  As
# root it installs the missing ones; without root it prints the command and exits 1.
set -u

PYTHON=${PYTHON:-python3}

# present CHECK: does the thing work?
present() {
  case $1 in
    venv) "$PYTHON" -c 'import ensurepip, venv' ;;
    headers) "$PYTHON" -c 'import os, sys, sysconfig as s
sys.exit(not os.path.exists(os.path.join(s.get_path("include"), "Python.h")))' ;;
    libc) printf '#include <stdio.h>\nint main(void){return 0;}\n' | cc -x c -fsyntax-only - ;;
    mariadbd) command -v mariadbd || command -v mysqld || test -x /usr/sbin/mariadbd ;;
    *) command -v "$1" ;;
  esac >/dev/null 2>&1
}

# group | check | package | what it is for
table() {
  cat <<'TABLE'
venv|python3|python3|runs ds_farm
venv|venv|python3-venv|makes the virtual environment
venv|cc|gcc|compiles the message path
venv|libc|libc6-dev|compiles the message path
venv|headers|python3-dev|compiles the message path
test|sipp|sip-tester|SIPp, caller and destinations in the tests
test|promtool|prometheus|promtool checks /metrics and the alert rules in the tests
test|systemd-analyze|systemd|checks the unit in the tests
test|sqlite3|sqlite3|runs the commands of README.md
test|curl|curl|runs the commands of README.md
test|ip|iproute2|a network of its own for the commands of README.md
database|mariadbd|mariadb-server|the database of the MySQL tests
bench|sipp|sip-tester|SIPp
bench|kamailio|kamailio|what `make bench` compares with
bench|cc|gcc|compiles the load generator
TABLE
}

[ $# -gt 0 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }

missing=
why=
for group in "$@"; do
  known=
  while IFS='|' read -r of check package purpose; do
    [ "$of" = "$group" ] || continue
    known=yes
    if ! present "$check"; then
      case " $missing " in
        *" $package "*) ;;
        *) missing="$missing $package"; why="$why $package ($purpose)," ;;
      esac
    fi
  done <<TABLE
$(table)
TABLE
  [ -n "$known" ] || { echo "deploy/debian-packages.sh: no group '$group'; there are venv, test, database, bench" >&2; exit 2; }
done
[ -n "$missing" ] || exit 0

missing=${missing# }
why=${why# }
why=${why%,}
command -v apt-get >/dev/null 2>&1 || {
  echo "make: missing: $why; this system has no apt-get, install them by their names there" >&2
  exit 1
}
if [ "$(id -u)" -ne 0 ]; then
  echo "make: missing: $why; install them with: sudo apt-get install $missing" >&2
  exit 1
fi

echo "make: installing Debian packages: $why"
export DEBIAN_FRONTEND=noninteractive
# RUNLEVEL=1: a package's own service is not started; the tests start what they need themselves.
# shellcheck disable=SC2086  # a list of package names
apt-get -qq -o DPkg::Lock::Timeout=300 update &&
  RUNLEVEL=1 apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing >/dev/null || {
    echo "make: apt-get could not install $missing; its message is above" >&2
    exit 1
  }

for group in "$@"; do
  while IFS='|' read -r of check package purpose; do
    [ "$of" = "$group" ] || continue
    present "$check" || {
      echo "make: $package is installed, and still '$check' does not work ($purpose)" >&2
      exit 1
    }
  done <<TABLE
$(table)
TABLE
done
