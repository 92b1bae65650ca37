"""Blocking code in threads: what blocks without computing (files, old network libraries)
runs in the loop's own threads, and the loop goes on. One second."""

import asyncio
import time


def big_work(number: int) -> int:
    time.sleep(1)
    return number * number


async def main() -> None:
    start = time.perf_counter()
    loop = asyncio.get_running_loop()
    futures = [loop.run_in_executor(None, big_work, number) for number in range(5)]
    results = await asyncio.gather(*futures)
    print(results, f"after {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    asyncio.run(main())
