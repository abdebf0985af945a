"""From events to use: sessions and refusals."""
