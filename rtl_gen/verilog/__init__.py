"""From a component to Verilog that is made to be read: one file a module, in the order of its source."""
