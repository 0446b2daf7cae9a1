"""Methods of forecasting: learners, and the baselines of practice."""
