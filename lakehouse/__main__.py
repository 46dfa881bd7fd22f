"""Run the command line as `python -m lakehouse`."""

from lakehouse.cli import main

main()
