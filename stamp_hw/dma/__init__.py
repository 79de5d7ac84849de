"""The memory of `stamp_npu`: descriptors, the order of tokens, what the DMA reads and writes (docs/dma.md)."""
