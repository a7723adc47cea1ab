"""What to download next, and doing it: where the bucket and the cache meet.

The life of a read of ``[offset, offset + length)``, with the module that tells each step:

1. `engine`     the read comes for a download that somebody opened (`open_downloads`, `download`).
2. `prefetch`   what this reader will need next is claimed behind what it needs now; how far ahead
                is decided in `readahead`. `siblings` does the same for the files beside it.
3. `reader`     are all parts here, trusted, and a complete object proven? Then the bytes come from
                the page cache at once, without a task or a thread.
4. `reader`     otherwise it demands the first missing parts and waits, with a deadline that counts
                time without progress.
5. `in_flight`  a part that nobody fetches is claimed by one new transfer, which is queued; one that
                is queued moves forward. Which ranges, and in which order: `scheduler`.
6. `transfers`  starts what the link affords (`rates`), unless another process that shares the cache
                fetches the same (`other_processes`).
7. `receiver`   sends the request and takes the bytes, in a thread of its own (`receiver_thread`);
                goes on in an old version where the origin has it.
8. `part_writer` gathers them in a buffer and writes whole parts to the cache's disk (`disk`, with
                the deadlines of `thread_calls` and a `circuit_breaker`); what the disk does not
                take is held in memory (`memory_parts`).
9. `transfers`  hears of each write and wakes the readers, who look at the bitmap again.
10. `verification` compares the CRC-64 of an object that has become complete with the origin's.

What failed is remembered for a moment (`recent_errors`), and the same question answered alike.

A transfer is in one of these states:

=============  ==========================================  ==================================
state          how it can be told                          what ends it
=============  ==========================================  ==================================
queued         ``last_byte is None``, its parts claimed    started, dropped by the last reader
running        ``last_byte`` is a time                     its bytes are written, it fails
waiting        left its place to another process           the other one fetched, or is silent
writing        ``sink.is_writing``                         the disk takes or refuses the parts
done           ``done``, its parts given up                (a failed one leaves a recent error)
=============  ==========================================  ==================================
"""
