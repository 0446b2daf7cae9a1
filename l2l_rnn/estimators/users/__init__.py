"""The store of many users' adapted states."""
