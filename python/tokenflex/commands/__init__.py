"""The commands of the command line, one module each; `tokenflex.cli` puts them together."""
