"""Task sets of time series: archives, physical activity, pen strokes and dynamics."""
