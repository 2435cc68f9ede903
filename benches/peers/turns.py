"""One system of a comparison, in a process of its own.

The first line on standard input is the job, as JSON. A line on standard output says that all is loaded. From then on each line in asks once more, and a
line out says how long that took.
"""

import importlib.metadata
import json
import sys
import time


def job():
    """What is asked: path, month, groups and bounds."""
    return json.loads(sys.stdin.readline())


def serve(package, ask, load_seconds=None):
    """Asks as often as it is told to. `ask` gives an object of what came out."""
    print(json.dumps({"version": importlib.metadata.version(package), "load_seconds": load_seconds}), flush=True)
    for _ in sys.stdin:
        start, used = time.perf_counter(), time.process_time()
        answer = ask()
        seconds, used = time.perf_counter() - start, time.process_time() - used
        with open("/proc/self/status") as status:
            peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
        print(json.dumps({"seconds": seconds, "processor_seconds": used, "peak_kib": peak_kib, **answer}), flush=True)
