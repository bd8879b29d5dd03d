"""The TLS options of every command that connects to a gateway, and the policy that they select."""

from __future__ import annotations

import argparse
import warnings

from cpapi_fast.console import tell
from cpapi_fast.errors import ConfigError
from cpapi_fast.rest.tls import InsecureTlsWarning, Tls


def add_tls_options(parser: argparse.ArgumentParser) -> None:
    """Add `--tls-verify`, `--ca-file`, `--fingerprint` and `--insecure`, which exclude each other."""
    tls = parser.add_argument_group("TLS (default: verify)").add_mutually_exclusive_group()
    tls.add_argument("--tls-verify", action="store_true", help="trust the certificate authorities of this machine")
    tls.add_argument(
        "--ca-file", metavar="PEM", help="trust only the certificates in this file; read again when it changes"
    )
    tls.add_argument("--fingerprint", metavar="SHA256", help="trust only the certificate with this fingerprint")
    tls.add_argument("--insecure", action="store_true", help="do not check the certificate")


def is_tls_chosen(args: argparse.Namespace) -> bool:
    """Whether the arguments contain a TLS option."""
    return bool(args.tls_verify or args.ca_file or args.fingerprint or args.insecure)


def chosen_tls(args: argparse.Namespace) -> Tls:
    """The policy that the options select. `--insecure` prints a warning to stderr.

    Raises:
        ConfigError: the fingerprint is invalid, or the URL uses no TLS.
    """
    # The client refuses a file and a fingerprint itself.
    if args.url.lower().startswith("http://") and (args.tls_verify or args.insecure):
        option = "--insecure" if args.insecure else "--tls-verify"
        raise ConfigError(f"an http:// URL uses no certificate. Use https://, or omit {option}.")
    if args.ca_file is not None:
        return Tls.ca_file(args.ca_file)
    if args.fingerprint is not None:
        return Tls.pinned(args.fingerprint)
    if not args.insecure:
        return Tls.verify()
    # The library's warning would name a line of this file. The command prints one about the option instead.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureTlsWarning)
        policy = Tls.insecure()
    tell("cpapi-fast: warning: TLS certificates are not checked; --fingerprint is as easy, and safe")
    return policy
