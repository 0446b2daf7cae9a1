"""Task sets of time series: archives, activity, pen strokes and dynamics."""
