"""From the vendor's usage exports to one statement."""
