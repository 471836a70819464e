"""A trained network at work: `predictor` makes maps, `folders` writes them as files; references; export."""
