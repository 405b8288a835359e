"""Transport plans: `gibbs` is the data that backends work on, the others are what a solution asks."""
