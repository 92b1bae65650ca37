"""One thing after the other: five waits of a second take five seconds."""

import asyncio
import time


async def big_work(number: int) -> int:
    await asyncio.sleep(1)
    return number * number


async def main() -> None:
    start = time.perf_counter()
    results = [await big_work(number) for number in range(5)]
    print(results, f"after {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    asyncio.run(main())
