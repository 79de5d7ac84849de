"""Ten named workloads and their figures, so that no change of a figure passes unseen."""
