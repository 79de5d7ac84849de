"""The engine behind AXI ports: streams, registers, and how it is halted."""
