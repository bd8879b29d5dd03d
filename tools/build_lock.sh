#!/bin/sh
# Runs a command while no other one runs that was started so: builds in the source tree write the same files.
#
# Usage: tools/build_lock.sh COMMAND ARGUMENTS...
#
# Where there is no flock (it belongs to util-linux), whoever calls takes care that builds do not meet.
set -eu

command -v flock >/dev/null || exec "$@"
mkdir -p build
exec flock build/.lock "$@"
