"""A trained network at work: maps of arrays, of groups, of folders; export."""
