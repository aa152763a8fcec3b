//! Fixtures for testing with Degu.
