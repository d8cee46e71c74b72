"""One thread a process, set before numpy and torch load: imported first, for its effect.

Parallel work is whole processes, and results must not depend on how many cores there are. What the
caller's environment says already is left alone.
"""

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
