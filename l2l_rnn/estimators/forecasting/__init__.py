"""Forecasting of single series with learners, behind the interface of sktime."""
