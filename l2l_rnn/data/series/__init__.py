"""Time series data: arrays, data frames, .ts files, forecasting and augmentation."""
