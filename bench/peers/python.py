#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""python.py: the same work with Python's multiprocessing. The command line is that of the other benchmark programs, see bench.h."""

import concurrent.futures
import functools
import multiprocessing as mp
import os
import sys
import time
import zlib

CORES = sorted(os.sched_getaffinity(0))
PLACES = {"free": 0, "one": 1, "two": 2}


def check(condition):
    if not condition:
        sys.exit("the result is wrong")


def skip(why):
    print(why, file=sys.stderr)
    sys.exit(77)


def pin(task, side):
    if task["place"] == 2 and len(CORES) < 2:
        skip("there is only one core to run on")
    if task["place"]:
        os.sched_setaffinity(0, {CORES[side if task["place"] == 2 else 0]})


def runner(run, task, side, barrier, times, arguments):
    pin(task, side % len(CORES))
    barrier.wait()
    start = time.monotonic()
    run(task, side, *arguments)
    times.put((start, time.monotonic()))


def race(task, n, run, *arguments):
    """n processes at once; nanoseconds from the first start to the last end."""
    barrier, times = mp.Barrier(n), mp.SimpleQueue()
    processes = [mp.Process(target=runner, args=(run, task, side, barrier, times, arguments), daemon=True) for side in range(n)]
    for process in processes:
        process.start()
    spans = [times.get() for _ in processes]
    for process in processes:
        process.join()
        check(process.exitcode == 0)
    return (max(end for _, end in spans) - min(start for start, _ in spans)) * 1e9


# ---- pipe


def stream_side(task, side, receiver, sender):
    data = bytes(task["size"])
    for i in range(task["n"]):
        if side == 0:
            sender.send(i if task["size"] == 4 else data)
        else:
            message = receiver.recv()
            check(message == i if task["size"] == 4 else len(message) == task["size"])


def stream(task):
    receiver, sender = mp.Pipe(False)
    return race(task, 2, stream_side, receiver, sender) / task["n"]


def roundtrip_side(task, side, *ends):
    for i in range(task["n"]):
        if side == 0:
            ends[0].send(i)
            check(ends[0].recv() == i)
        else:
            ends[1].send(ends[1].recv())


def roundtrip(task):
    return race(task, 2, roundtrip_side, *mp.Pipe()) / task["n"]


# ---- queue


def queue_side(task, side, queue, sums):
    total = 0
    if side < task["procs"]:
        for i in range(task["n"] // task["procs"]):
            queue.put(i)
            total += i
        queue.put(None)
    else:
        while (message := queue.get()) is not None:
            total -= message
    sums.put(total)


def queue(task):
    sums = mp.SimpleQueue()
    ns = race(task, 2 * task["procs"], queue_side, mp.Queue(4096), sums)
    check(sum(sums.get() for _ in range(2 * task["procs"])) == 0)
    return ns / task["n"]


# ---- pool


def square(x):
    return x * x


def fib(n):
    return 1 if n <= 2 else fib(n - 1) + fib(n - 2)


def toil(n):
    x = 1
    for _ in range(n):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
    return x


def nanoseconds(function):
    start = time.monotonic()
    result = function()
    return (time.monotonic() - start) * 1e9, result


def squares(task):
    with mp.Pool(len(CORES)) as pool:
        pool.map(square, range(100))
        ns, result = nanoseconds(lambda: pool.map(square, range(task["n"])))
    check(result == [i * i for i in range(task["n"])])
    return ns / task["n"]


def tasks(task):
    with concurrent.futures.ProcessPoolExecutor(len(CORES)) as executor:
        check(executor.submit(square, 3).result() == 9)
        ns, futures = nanoseconds(lambda: concurrent.futures.wait([executor.submit(square, i) for i in range(task["n"])]).done)
        check(sum(future.result() for future in futures) == sum(i * i for i in range(task["n"])))
    return ns / task["n"]


def fibs(task):
    def run():
        with mp.Pool(task["n"]) as pool:
            return pool.map(fib, [task["size"]] * task["n"])

    ns, result = nanoseconds(run)
    check(len(set(result)) == 1)
    return ns / 1e6


def skew(task):
    n, unit = task["n"], task["size"] // 50  # a turn of the loop costs so much more
    ranks = [n - i if task["depth"] == 1 else i + 1 for i in range(n)]
    costs = [unit * rank * rank // n // n for rank in ranks]
    alone, expected = nanoseconds(lambda: [toil(cost) for cost in costs])
    with mp.Pool(len(CORES)) as pool:
        pool.map(square, range(100))
        together, result = nanoseconds(lambda: pool.map(toil, costs))
    check(result == expected)
    return 100 * alone / len(CORES) / together


def blocks(task):
    data = [bytes([i % 256]) * task["size"] for i in range(task["n"])]
    with mp.Pool(len(CORES)) as pool:
        pool.map(square, range(100))
        ns, result = nanoseconds(lambda: pool.map(zlib.crc32, data))
    check(result == [zlib.crc32(block) for block in data])
    return ns / 1e6


# ---- start


def nothing():
    pass


def start(method, task):
    if method != "fork" and task["procs"] > 1:
        skip("so slow that one at a time says it all")
    context = mp.get_context(method)
    ballast = bytearray(task["parent"] << 20)
    ballast[::4096] = b"1" * len(ballast[::4096])

    def round_of():
        processes = [context.Process(target=nothing) for _ in range(task["procs"])]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            check(process.exitcode == 0)

    round_of()
    ns, _ = nanoseconds(lambda: [round_of() for _ in range(task["n"])])
    return ns / 1e3 / task["n"] / task["procs"]


# ---- lock


def lock_side(task, side, lock, counter):
    for _ in range(task["n"] // task["procs"]):
        with lock:
            counter.value += 1


def lock(task):
    counter = mp.Value("q", 0, lock=False)
    ns = race(task, task["procs"], lock_side, mp.Lock(), counter)
    check(counter.value == task["n"] // task["procs"] * task["procs"])
    return ns / counter.value


# ---- manager


def append_side(task, side, shared):
    pin(task, 0)
    for i in range(task["n"] // task["procs"]):
        shared.append(i)


def append(task):
    pin(task, 1)
    with mp.Manager() as manager:
        shared = manager.list()
        ns = race(task, task["procs"], append_side, shared)
        check(len(shared) == task["n"] // task["procs"] * task["procs"])
        return ns / len(shared)


# work, name, function, and how many times fewer operations it does because it is slower
CONTENDERS = [
    ("stream", "python-pipe", stream, 500),
    ("roundtrip", "python-pipe", roundtrip, 10),
    ("queue", "python-queue", queue, 50),
    ("map", "python-pool", squares, 10),
    ("tasks", "python-executor", tasks, 10),
    ("fib", "python-pool", fibs, 1),
    ("skew", "python-pool", skew, 1),
    ("blocks", "python-pool", blocks, 1),
    ("start", "python-fork", functools.partial(start, "fork"), 2),
    ("start", "python-forkserver", functools.partial(start, "forkserver"), 10),
    ("start", "python-spawn", functools.partial(start, "spawn"), 20),
    ("lock", "python-lock", lock, 20),
    ("append", "python-manager", append, 4),
]


def main(arguments):
    if arguments == ["--list"]:
        for work, name, _, _ in CONTENDERS:
            print(f"{work}\t{name}")
        return
    task = {"n": 1000, "size": 4, "procs": 1, "depth": 1, "rounds": 1, "parent": 0, "place": 0}
    for argument in arguments[2:]:
        key, value = argument.split("=")
        check(key in task)
        task[key] = PLACES[value] if value in PLACES else int(value)
    for work, name, run, slower in CONTENDERS:
        if [work, name] == arguments[:2]:
            task["n"] = max(1, task["n"] // slower)
            print(f"{run(task):.6g}")
            return
    sys.exit(f"no contender {arguments[1]} for {arguments[0]}")


if __name__ == "__main__":
    main(sys.argv[1:])
