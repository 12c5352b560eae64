"""Running a command and taking its time and memory; rows of a Markdown table."""

import ctypes
import os
import platform
import resource
import subprocess
import threading
import time

# Address space of a command that is run with a limit, in bytes.
MEMORY = 16 << 30


class Took:
    """One run: seconds on the wall, seconds of CPU, peak memory in MiB, exit code."""

    def __init__(self, wall, cpu, mib, code):
        self.wall, self.cpu, self.mib, self.code = wall, cpu, mib, code


def adopt_orphans():
    """Makes this process the parent of what its commands leave behind, so that their workers are measured too."""
    if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) != 0:  # PR_SET_CHILD_SUBREAPER
        raise SystemExit("cannot adopt orphans: their memory and CPU time would be missing")


def run(args, env=None, limit=None):
    """Runs a command with its output thrown away. The time is until it ends; memory (of the largest process) and CPU
    also count processes that outlive it for a moment, as scan workers do. Less than what this script itself
    occupies, about 15 MiB, is not told apart. After `limit` seconds, or with more than MEMORY, it is ended."""
    adopt_orphans()
    start = time.perf_counter()
    with open(os.devnull, "wb") as null:
        p = subprocess.Popen(args, stdout=null, stderr=null, stdin=subprocess.DEVNULL, env=env)
        status, wall, cpu, peak = None, 0.0, 0.0, 0
        timer = threading.Timer(limit, p.kill) if limit else None
        if timer:
            resource.prlimit(p.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
            timer.start()
        while True:
            try:
                pid, ended, usage = os.wait4(-1, 0)
            except ChildProcessError:
                break
            if pid == p.pid:
                status, wall = ended, time.perf_counter() - start
            cpu += usage.ru_utime + usage.ru_stime
            peak = max(peak, usage.ru_maxrss)
    if timer:
        timer.cancel()
    p.returncode = os.waitstatus_to_exitcode(status)
    return Took(wall, cpu, peak / 1024, p.returncode)


def paired(commands, rounds, ok=(0, 1, 2, 3)):
    """Runs several commands by turns, so that a noisy moment hits all of them; the median run of each by wall time."""
    runs = {name: [] for name in commands}
    for _ in range(rounds):
        for name, args in commands.items():
            took = run(args)
            if took.code not in ok:
                raise SystemExit(f"{name}: exit {took.code}: {' '.join(args)}")
            runs[name].append(took)
    return {name: sorted(took, key=lambda t: t.wall)[len(took) // 2] for name, took in runs.items()}


def seconds(t):
    return f"{t * 1e3:.1f} ms" if t < 1 else f"{t:.2f} s"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(c) for c in row) + " |" for row in rows])


def machine():
    """One line on where this was measured."""
    model = platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), model)
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
