#!/bin/sh
# Runs a command under a lock, because builds in the source tree write the same files and only one may run at a time.
#
# Usage: tools/build_lock.sh COMMAND ARGUMENTS...
#
# Without flock (part of util-linux) there is no lock, and the caller must not start two builds at once.
set -eu

command -v flock >/dev/null || exec "$@"
mkdir -p build
exec flock build/.lock "$@"
