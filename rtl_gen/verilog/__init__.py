"""From a component to Verilog: one file a module, explicit widths, fields as comments, accepted warnings."""
