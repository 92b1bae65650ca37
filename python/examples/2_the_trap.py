"""The trap: tasks look concurrent, but work that does not await holds the event loop, and
everything else in the program waits with it. Five seconds again, and the clock, which
should tick ten times a second, stands still."""

import asyncio
import time


async def big_work(number: int) -> int:
    time.sleep(1)  # blocks the loop; a computation of a second does the same
    return number * number


async def clock(ticks: "list[float]") -> None:
    while True:
        ticks.append(time.perf_counter())
        await asyncio.sleep(0.1)


async def main() -> None:
    start = time.perf_counter()
    ticks: "list[float]" = []
    ticking = asyncio.create_task(clock(ticks))
    results = await asyncio.gather(*(asyncio.create_task(big_work(number)) for number in range(5)))
    ticking.cancel()
    print(results, f"after {time.perf_counter() - start:.1f} s, in which the clock ticked {len(ticks)} times")


if __name__ == "__main__":
    asyncio.run(main())
