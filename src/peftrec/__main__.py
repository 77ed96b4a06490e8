"""`python -m peftrec`: the command line, for an interpreter whose scripts are not on the path."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the folder that this was started in: a `lightning.py` there is none of ours

from peftrec.cli.main import main

sys.exit(main())
