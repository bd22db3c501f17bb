"""What `./Benchmark` measures with: a program beside the proxy, in its own processes, never imported by it.

Only the standard library comes in here (Flask and requests in the pass-through it compares with). Only
loopback is dialled, but for a `--url` given by hand. (Not called `benchmark/`: on a Mac that is the same name
as the command.)

    cli -> headstarts, sections, own_instances, deciding -> proxy -> run -> targets -> servers, record, load
"""
