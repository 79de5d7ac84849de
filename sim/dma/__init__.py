"""Cycles of `stamp_npu`: the DMA, the memory behind its bus and the engine, from START to the interrupt."""
