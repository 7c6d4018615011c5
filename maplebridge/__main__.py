from maplebridge.cli import main

main()
