"""What Python's multiprocessing does when one of its processes is killed: the other half of 12_survivors.c, which runs
each scenario in a python3 of its own and stops it after a while.

    python3 12_survivors.py pool_worker

prints "killed", the pid and the version when the victim is dead, and a second line if the others go on.
"""
import concurrent.futures
import multiprocessing
import os
import signal
import sys
import time

mp = multiprocessing.get_context("fork")  # as libpar does

# Whatever happens to the program that runs this: none of these processes outlives it for long.
signal.alarm(30)
os.register_at_fork(after_in_child=lambda: signal.alarm(30))


def say_killed(pid):
    print("killed", pid, sys.version.split()[0], flush=True)


def is_asleep(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "S"


def kill_inside(function, *args):
    """Run function in a process, wait until it sleeps in there, and kill the process."""
    news, there = os.pipe()
    victim = mp.Process(target=function, args=(there, *args))
    victim.start()
    os.read(news, 1)
    while not is_asleep(victim.pid):
        time.sleep(0.001)
    victim.kill()
    victim.join()
    say_killed(victim.pid)


def square(x):
    if x == 37:
        say_killed(os.getpid())
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def pool_worker():
    with mp.Pool(2) as pool:
        squares = pool.map(square, range(1, 101), chunksize=1)
    return f"{len(squares)} of 100 squares"


def get_from(there, queue):
    os.write(there, b".")
    queue.get()


def queue_reader():
    queue = mp.Queue()
    kill_inside(get_from, queue)
    queue.put(42)
    return f"got {queue.get()}"


def hold(there, lock):
    with lock:
        os.write(there, b".")
        signal.pause()


def lock_holder():
    lock = mp.Lock()
    kill_inside(hold, lock)
    lock.acquire()
    return "has the lock"


def wait_for(there, event):
    os.write(there, b".")
    event.wait()


def event_waiter():
    event = mp.Event()
    kill_inside(wait_for, event)
    event.set()
    return "the event is set"


def meet(there, barrier):
    os.write(there, b".")
    barrier.wait()


def barrier_party():
    barrier = mp.Barrier(2)
    kill_inside(meet, barrier)
    barrier.wait()
    return "all have met"


def executor_worker():
    executor = concurrent.futures.ProcessPoolExecutor(2, mp_context=mp)
    try:
        list(executor.map(square, range(1, 101)))
    except concurrent.futures.process.BrokenProcessPool:
        pass
    try:
        return f"then 6 * 6 = {executor.submit(square, 6).result()}"
    except concurrent.futures.process.BrokenProcessPool as error:
        return f"but the pool is dead: {type(error).__name__}"


print(globals()[sys.argv[1]](), flush=True)
