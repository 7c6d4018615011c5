"""The command line; `maplebridge --help` lists the commands."""

from maplebridge.cli.app import main

__all__ = ["main"]
