"""Does the book say the same on other machines? `make machines` runs it; it is not a test.

Processors add floating-point numbers in different orders, and a training of hundreds of steps
amplifies the last digit. So every chapter, and every test of the helpers, is run again with other
arithmetic: older instruction sets, without oneDNN, on one thread and on eight. No variant can stand
for a processor of another kind; for those, each training is perturbed at its start by a few units
in the last place (see `perturb.py`). A chapter holds if its checks pass and its stored outputs come
out alike. Arguments pick variants by name; without any, all are run.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

from numpy._core._multiarray_umath import __cpu_features__ as cpu_features

ROOT = Path(__file__).parents[1]
X86 = platform.machine().lower() in ("x86_64", "amd64")


def instructions(xla, onednn, openblas):
    return {
        "XLA_FLAGS": f"--xla_cpu_max_isa={xla}",
        "ONEDNN_MAX_CPU_ISA": onednn,
        "OPENBLAS_CORETYPE": openblas,
    }


def threads(number):
    return {
        f"{library}_NUM_{name}": str(number)
        for library, name in [
            ("OMP", "THREADS"),
            ("OPENBLAS", "THREADS"),
            ("TF", "INTRAOP_THREADS"),
            ("TF", "INTEROP_THREADS"),
        ]
    }


VARIANTS = {
    "sse4.2": instructions("SSE4_2", "SSE41", "Nehalem"),
    "avx": instructions("AVX", "AVX", "Sandybridge"),
    "avx2": instructions("AVX2", "AVX2", "Haswell"),
    "no-onednn": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "one-thread": threads(1),
    "eight-threads": threads(8),
    **{f"perturbed-{seed}": {"PERTURBATION": str(seed)} for seed in range(5)},
}
NEEDS = {"sse4.2": "SSE42", "avx": "AVX", "avx2": "AVX2"}  # of the processor

# What the kernel of a perturbed chapter does first. Without its perturbation it does not go on.
START = f"""\
import os, runpy, traceback
try:
    runpy.run_path({str(ROOT / "tests" / "perturb.py")!r})
except BaseException:
    traceback.print_exc()
    os._exit(1)
"""


def cannot_run(name):
    """Why this machine cannot run a variant, or None."""
    if name not in NEEDS:
        return None
    if not X86:
        return f"it is for x86 processors, and this is {platform.machine()}"
    needed = NEEDS[name]
    return None if cpu_features.get(needed) else f"this processor has no {needed}"


def run(name, report):
    """Run chapters and tests of the helpers under a variant: the number run, and what failed."""
    environment = {**os.environ, **VARIANTS[name]}
    perturbed = "PERTURBATION" in environment
    with tempfile.TemporaryDirectory() as folder:
        if perturbed:  # in the kernels of the chapters
            environment["IPYTHONDIR"] = folder
            start = Path(folder, "profile_default", "startup")
            start.mkdir(parents=True)
            start.joinpath("perturb.py").write_text(START)
        command = [sys.executable, "-m", "pytest", "-n", "logical", "-q", "--no-header"]
        command += ["-m", "not pages and not build", f"--junit-xml={report}", "book"]
        command += [] if perturbed else ["tests"]
        pytest = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    cases = list(ET.parse(report).iter("testcase")) if report.exists() else []
    failed = []
    for case in cases:
        for kind in ("failure", "error"):
            if (found := case.find(kind)) is not None:
                failed.append((f"{case.get('classname')} {case.get('name')}", found.text))
    if pytest.returncode and not failed:  # it was not a test that failed, but the run
        failed = [("pytest", pytest.stdout + pytest.stderr)]
    return len(cases), failed


def main(names):
    unknown = set(names) - set(VARIANTS)
    if unknown:
        sys.exit(f"no such variant: {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    alike = True
    with tempfile.TemporaryDirectory() as folder:
        for name in names or VARIANTS:
            if reason := cannot_run(name):
                print(f"{name:14} skipped: {reason}", flush=True)
                continue
            start = time.monotonic()
            number, failed = run(name, Path(folder, f"{name}.xml"))
            alike = alike and not failed
            verdict = f"{len(failed)} FAILED" if failed else "all alike"
            minutes = (time.monotonic() - start) / 60
            print(f"{name:14} {number} cells and tests, {verdict} ({minutes:.1f} min)", flush=True)
            for where, message in failed:
                print(f"    {where}\n        " + message.strip().replace("\n", "\n        "))
    sys.exit(0 if alike else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
