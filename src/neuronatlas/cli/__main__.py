"""``python -m neuronatlas.cli`` is the command."""

from neuronatlas.cli import main

main()
