#!/bin/sh
# Puts the programs `prometheus` and `promtool` into .venvs/prometheus, for the tests of metrics: those of PATH if there
# are any, otherwise those of Debian's package, unpacked without installing it.
#
#   tools/prometheus.sh
#
# Without either this prints a message and does nothing, or fails when CPAPI_FAST_REQUIRE_ALL=1.
set -eu

home=$PWD/.venvs/prometheus
if [ -x "$home/prometheus" ] && [ -x "$home/promtool" ]; then exit 0; fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
    if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
        # A new machine has no lists of packages yet; only root can fetch them.
        chmod 755 "$scratch"
        (cd "$scratch" && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; }) \
            >"$scratch/log" 2>&1 || cat "$scratch/log" >&2
        for package in "$scratch"/prometheus_*.deb; do
            [ ! -e "$package" ] || dpkg-deb -x "$package" "$scratch/files"
        done
    fi
    PATH=$scratch/files/usr/bin:$PATH
fi
if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
    echo "not run: the tests of metrics need Prometheus. Install prometheus and promtool, so that PATH has them" >&2
    case ${CPAPI_FAST_REQUIRE_ALL:-0} in '' | 0) exit 0 ;; *) exit 1 ;; esac
fi
mkdir -p "$home"
# A copy with another name first, so that a program that is there is whole.
for program in prometheus promtool; do
    cp -L "$(command -v "$program")" "$home/$program.part"
    mv "$home/$program.part" "$home/$program"
done
"$home/prometheus" --version | head -n 1
