"""``python -m neuronatlas`` is the command."""

from neuronatlas.cli import main

main()
