"""What the rows of an ablation are called on the command line."""

FEATURES = ("none", "hadamard", "smooth")
#: `identity`, which gains are over, is always there.
TRANSFORMS = ("identity", "haar", "raster", "dct", "walsh", "klt", "shuffled")
