"""Concurrent: what waits by `await` waits together. Five waits of a second take one."""

import asyncio
import time


async def big_work(number: int) -> int:
    await asyncio.sleep(1)
    return number * number


async def main() -> None:
    start = time.perf_counter()
    tasks = [asyncio.create_task(big_work(number)) for number in range(5)]
    done, _ = await asyncio.wait(tasks)
    print(sorted(task.result() for task in done), f"after {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    asyncio.run(main())
