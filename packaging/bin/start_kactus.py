"""Starts kactus from the libraries beside this file. Imports nothing else: it runs for every pod operation."""

import sys

sys.path.insert(0, __file__.rpartition("/")[0])
from podagent.kactus.main import main

sys.exit(main())
