"""The training application: recipes, data, the loop, and the commands around it."""
