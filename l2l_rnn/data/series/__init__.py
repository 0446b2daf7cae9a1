"""Time series as data: arrays, data frames, archive files, forecasting and augmentation."""
