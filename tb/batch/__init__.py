"""The fast bench: stimulus and results as whole memories, the clock outside Python, Python awake once a job.

A testbench takes `batch_test` in place of `tb.bench.harness.bench_test` and gets a `BatchBench`, with the same calls
and the same messages. See tb/README.md.
"""
