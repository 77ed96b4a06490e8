"""`python -m peftrec`: the command line, for an interpreter whose scripts are not on the path."""

import sys

from peftrec.cli.main import main

sys.exit(main())
