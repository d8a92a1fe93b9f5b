"""One thread per process where pytest-xdist shares the cores out: two libraries that spin on all cores cost minutes."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
