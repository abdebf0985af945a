"""The book: logs, sessions, charges and what becomes of them, kept in one file from night to night."""
