"""Methods that predict the dynamics of bodies, and control them."""
