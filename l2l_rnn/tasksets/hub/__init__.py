"""Few-shot text task sets from your own files or from the package `datasets`."""
