"""The installation: packages, devices, and a check of derivatives."""
