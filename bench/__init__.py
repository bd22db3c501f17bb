"""What `./Benchmark` measures with: a program beside the proxy, in processes of its own, that the proxy never imports.

Only the standard library comes in here (Flask and requests in the pass-through it compares with), and only loopback is dialled,
but for a `--url` given by hand. (Not called `benchmark/`: on a Mac that would be the same name as the command.)
"""
