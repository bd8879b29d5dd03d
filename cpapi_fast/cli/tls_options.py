"""The TLS choices of every command that connects to a gateway: options in, policy out."""

from __future__ import annotations

import argparse
import sys
import warnings

from cpapi_fast.rest.tls import InsecureTlsWarning, Tls


def add_tls_options(parser: argparse.ArgumentParser) -> None:
    """Add `--tls-verify`, `--ca-file`, `--fingerprint` and `--insecure`, one of which may be given."""
    tls = parser.add_argument_group("TLS (default: verify)").add_mutually_exclusive_group()
    tls.add_argument("--tls-verify", action="store_true", help="trust what this machine trusts")
    tls.add_argument("--ca-file", metavar="PEM", help="trust the certificates in this file only")
    tls.add_argument("--fingerprint", metavar="SHA256", help="trust the one certificate with this fingerprint")
    tls.add_argument("--insecure", action="store_true", help="trust any certificate")


def is_tls_chosen(args: argparse.Namespace) -> bool:
    """Whether one of the options was given."""
    return bool(args.tls_verify or args.ca_file or args.fingerprint or args.insecure)


def chosen_tls(args: argparse.Namespace) -> Tls:
    """The policy that the options name; `--insecure` says a word on stderr.

    Raises:
        ConfigError: the fingerprint is none.
    """
    if args.ca_file is not None:
        return Tls.ca_file(args.ca_file)
    if args.fingerprint is not None:
        return Tls.pinned(args.fingerprint)
    if not args.insecure:
        return Tls.verify()
    # The warning for programs, which names a line of this file, becomes one for the person who typed the option.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureTlsWarning)
        policy = Tls.insecure()
    print("cpapi-fast: warning: TLS certificates are not checked; --fingerprint is as easy and safe", file=sys.stderr)
    return policy
