"""Running testbenches: builds, blocks, the deep regression, the test plan."""
