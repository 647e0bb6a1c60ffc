"""What `vecferry` understands: commands, their options and examples. `cli.actions`, loaded on use, does them."""
