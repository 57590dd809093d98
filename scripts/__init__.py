"""The commands: arguments, calls, prints."""

import os

# Threads of OpenMP that wait for each other sleep. By default they spin, and beside other busy processes that takes
# several times as long. It counts where torch is not imported yet.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
