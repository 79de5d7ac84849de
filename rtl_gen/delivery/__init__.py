"""What a user gets: the Verilog's files, vectors and testbenches, register map, C headers, layers as programs."""
