"""What is done with generated Verilog here: lint, synthesis, place and route."""
