"""What a testbench uses inside the simulator: streams, stalls, layouts."""
