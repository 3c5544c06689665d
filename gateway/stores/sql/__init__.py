"""The store port for PostgreSQL and SQLite, by SQLAlchemy's statements and the drivers asyncpg and aiosqlite."""
