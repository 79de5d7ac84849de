"""Many points of a design space: a workload costed under every combination of fields of hardware, job and workload, or
under random ones."""
