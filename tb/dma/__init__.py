"""The bench of `stamp_npu`: a memory behind AXI4, chains of random layers, what ends a chain before its time."""
