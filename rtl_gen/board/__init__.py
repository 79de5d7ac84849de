"""Boards: a layer, the engine with its DMA and a memory, which test themselves on an FPGA."""
