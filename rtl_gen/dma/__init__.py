"""The engine with a DMA of its own: `stamp_npu`, an AXI4 master that follows a chain of descriptors (docs/dma.md)."""
