"""CPU-heavy code in processes: threads would take turns with one interpreter, processes
use all CPUs. `Executor` stands where `concurrent.futures.ProcessPoolExecutor` would."""

import asyncio
import functools
import time

from orchestrator import Executor


def big_work(number: int) -> int:
    total = 0
    for i in range(5_000_000):
        total += i % (number + 2)
    return total


async def main() -> None:
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    alone = [big_work(number) for number in range(4)]
    sequential = time.perf_counter() - start

    start = time.perf_counter()
    with Executor() as pool:
        tasks = [loop.run_in_executor(pool, functools.partial(big_work, number)) for number in range(4)]
        await asyncio.wait(tasks)
    concurrent = time.perf_counter() - start
    assert [task.result() for task in tasks] == alone
    print(f"{sequential:.2f} s one after the other, {concurrent:.2f} s in processes")


if __name__ == "__main__":
    asyncio.run(main())
