"""The commands `stamp-hw generate`, `program`, `synth`, `place` and `doctor`."""
